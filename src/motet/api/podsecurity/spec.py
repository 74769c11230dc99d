"""As much of a pod as the standards look at, and ways to speak of its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's spec as plain JSON, with the annotations that say something about its containers."""

    spec: Json
    annotations: Mapping[str, str]

    @property
    def security(self) -> Json:
        return self.spec.get("securityContext") or {}

    @property
    def windows(self) -> bool:
        return bool((self.spec.get("os") or {}).get("name") == "windows")

    def containers(self) -> Iterator[tuple[str, Json]]:
        """Every container with its name: init, ordinary, ephemeral."""
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            for container in self.spec.get(kind) or ():
                yield str(container.get("name", "")), container

    def where(self, holds: Callable[[Json], bool]) -> list[str]:
        """The names of containers of whose security context something holds."""
        return [name for name, container in self.containers() if holds(container.get("securityContext") or {})]


@dataclass(frozen=True, slots=True)
class Forbidden:
    """One standard that a pod breaks: in short, and where."""

    reason: str
    detail: str


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def plural(one: str, many: str, count: int) -> str:
    return one if count == 1 else many


def containers(names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{plural('container', 'containers', len(names))} {quoted(names)}"


def setters(pod: bool, names: list[str]) -> str:
    """`pod and container "a"`: who has set something."""
    parts = ["pod"] if pod else []
    return " and ".join([*parts, containers(names)] if names else parts)
