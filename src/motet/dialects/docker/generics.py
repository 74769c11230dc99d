"""Generic resources: what nodes have besides CPU and memory, counted (`--generic-resource gpu=2`). Pure.

A name without a domain is one of Docker's own, `docker.motet.dev/gpu` to the kernel (Kubernetes "Extended Resources"): a node has
as many as its `status.capacity` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]

_DOMAIN = "docker.motet.dev/"


def resource(kind: str) -> str:
    """What the kernel calls it."""
    return kind if "/" in kind else _DOMAIN + kind


def kind(resource: str) -> str:
    """What Docker calls it."""
    return resource.removeprefix(_DOMAIN)


def environment(resources: Any) -> Iterator[Json]:
    """How a task learns what it has been given: `DOCKER_RESOURCE_GPU=2` (swarmkit, genericresource)."""
    reserved = ((resources or {}).get("Reservations") or {}).get("GenericResources") or ()
    discrete = [each["DiscreteResourceSpec"] for each in reserved if each.get("DiscreteResourceSpec")]
    return told((str(each.get("Kind", "")), int(each.get("Value", 0))) for each in discrete)


def told(counted: Iterable[tuple[str, int]]) -> Iterator[Json]:
    """The variables of (kind, number)."""
    return ({"name": f"DOCKER_RESOURCE_{kind}".upper(), "value": str(count)} for kind, count in counted)
