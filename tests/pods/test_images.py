from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from motet.pods.images import Images
from motet.runtime.interface import Image, ImageNotFound, RuntimeFailure
from support.pods import pod


class Registry:
    """A runtime that pulls, for those who have the password if there is one."""

    def __init__(self, *present: str, password: str = "", missing: bool = False) -> None:
        self.present = set(present)
        self.pulls: list[str] = []
        self._password = password
        self._missing = missing

    async def image(self, reference: str) -> Image | None:
        return Image("i", (reference,), (), 1) if reference in self.present else None

    async def pull(self, reference: str, auth: dict[str, str] | None = None) -> str:
        self.pulls.append(reference)
        await asyncio.sleep(0)
        if self._missing or (self._password and (auth or {}).get("password") != self._password):
            raise ImageNotFound("not there, or not for you", "ImageNotFound")
        self.present.add(reference)
        return reference


class Secrets:
    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        if name != "pull":
            return None
        auth = base64.b64encode(b"me:right").decode()
        return {".dockerconfigjson": json.dumps({"auths": {"docker.io": {"auth": auth}}}).encode()}


async def ensure(registry: Registry, image: str, pull_policy: str = "", **spec: Any) -> tuple[str, list[str]]:
    """(the reference, the reasons of the events told)."""
    told: list[str] = []
    wanted = pod({"name": "app", "image": image, "imagePullPolicy": pull_policy}, **spec)
    images = Images(registry, Secrets())  # type: ignore[arg-type]
    reference = await images.ensure(
        wanted, wanted.spec.containers[0], lambda type, reason, message: told.append(reason)
    )
    return reference, told


async def test_an_image_that_is_there_is_not_pulled():
    registry = Registry("docker.io/library/web:1")
    assert await ensure(registry, "web:1") == ("docker.io/library/web:1", ["Pulled"])
    assert registry.pulls == []


async def test_always_means_always():
    registry = Registry("docker.io/library/web:1")
    assert await ensure(registry, "web:1", "Always") == ("docker.io/library/web:1", ["Pulling", "Pulled"])


async def test_never_means_never():
    with pytest.raises(RuntimeFailure) as caught:
        await ensure(Registry(), "web:1", "Never")
    assert caught.value.reason == "ErrImageNeverPull"


async def test_a_pull_secret_opens_the_registry():
    secrets = [{"name": "gone"}, {"name": "pull"}]
    _, told = await ensure(Registry(password="right"), "web:1", imagePullSecrets=secrets)
    assert told == ["Pulling", "Pulled"]


async def test_a_failed_pull_is_called_what_upstream_calls_it():
    with pytest.raises(RuntimeFailure, match='failed to pull image "web:1"') as caught:
        await ensure(Registry(missing=True), "web:1")
    assert caught.value.reason == "ErrImagePull"


async def test_an_impossible_name_is_refused():
    with pytest.raises(RuntimeFailure) as caught:
        await ensure(Registry(), "Not A Name")
    assert caught.value.reason == "InvalidImageName"


async def test_many_pods_that_want_one_image_share_a_pull():
    registry = Registry()
    images = Images(registry, Secrets())  # type: ignore[arg-type]
    wanted = pod({"name": "app", "image": "web:1"})
    spec = wanted.spec.containers[0]
    await asyncio.gather(*(images.ensure(wanted, spec, lambda *_: None) for _ in range(20)))
    assert len(registry.pulls) == 1
