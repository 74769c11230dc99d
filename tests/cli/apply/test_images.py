"""Images are fetched before anything is made, and all that cannot be had are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from motet.base.errors import MotetError
from motet.cli.apply.images import pull_missing
from motet.runtime.interface import Image, ImageNotFound, Runtime, RuntimeFailure
from support.compose_world import compose

FILE = "services:\n  a: {image: here}\n  b: {image: there}\n  c: {image: there}\n  d: {image: gone}\n  e: {build: .}\n"


class Registry:
    """The two calls that are used of a runtime."""

    def __init__(self, *, here: tuple[str, ...] = (), errors: dict[str, Exception] | None = None) -> None:
        self.here = set(here)
        self.errors = errors or {}
        self.pulled: list[str] = []

    async def image(self, reference: str) -> Image | None:
        return Image("sha256:1", (reference,), (), 1) if reference in self.here else None

    async def pull(self, reference: str, auth: dict[str, str] | None = None) -> str:
        if reference in self.errors:
            raise self.errors[reference]
        self.pulled.append(reference)
        return reference


async def fetched(tmp_path: Path, registry: Registry) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    runtime: Runtime = registry  # type: ignore[assignment]
    await pull_missing(compose(tmp_path, FILE), runtime, lambda name, what: told.append((name, what)))
    return told


async def test_only_what_is_missing_is_pulled_and_once(tmp_path: Path) -> None:
    registry = Registry(here=("here",))
    assert await fetched(tmp_path, registry) == [("b", "pulling there"), ("c", "pulling there"), ("d", "pulling gone")]
    assert registry.pulled == ["there", "gone"]


async def test_every_image_that_cannot_be_had_is_told_with_its_line(tmp_path: Path) -> None:
    errors: dict[str, Exception] = {
        "gone": ImageNotFound("cannot pull image gone: the registry does not have it", "ErrImagePull"),
        "there": RuntimeFailure("cannot pull image there: the registry cannot be reached", "RegistryUnavailable"),
    }
    with pytest.raises(MotetError) as caught:
        await fetched(tmp_path, Registry(here=("here",), errors=errors))
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert lines[0] == "compose.yaml:3: services.b.image: cannot pull image there: the registry cannot be reached"
    assert lines[2] == "compose.yaml:5: services.d.image: cannot pull image gone: the registry does not have it"
    assert lines[3] == "  next: check the name and the tag, or log in to the registry"


async def test_a_pull_policy_pulls_always_or_never(tmp_path: Path) -> None:
    text = "services:\n  a: {image: here, pull_policy: always}\n  b: {image: gone, pull_policy: never}\n"
    registry = Registry(here=("here",))
    runtime: Runtime = registry  # type: ignore[assignment]
    with pytest.raises(MotetError, match=r":3: services.b.image: the node does not have gone, and may not pull it"):
        await pull_missing(compose(tmp_path, text), runtime, lambda name, what: None)
    assert registry.pulled == ["here"]
