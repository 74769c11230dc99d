"""What other servers (aggregated APIs) keep in a namespace, and taking it away when the namespace goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from motet.base.errors import ApiError, MethodNotAllowed, NotFound

Json = Mapping[str, Any]
_BACKGROUND = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}


class Others(Protocol):
    """The servers behind APIServices."""

    async def survey(self) -> Mapping[str, Sequence[Json] | str]:
        """By `GROUP/VERSION`, the resources of every other server (as in an APIResourceList), or why it does not tell."""
        ...

    async def request(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Json:
        """The answer to a request. Raises ApiError."""
        ...


class Nobody:
    """No other servers."""

    async def survey(self) -> Mapping[str, Sequence[Json] | str]:
        return {}

    async def request(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Json:
        raise NotFound(f"nobody answers for {path}")


@dataclass(slots=True)
class Left:
    """What is still there: objects by `plural.group`, the finalizers that hold them, failures, and who did not tell."""

    objects: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)


async def empty(others: Others, namespace: str) -> Left:
    """Have everything in a namespace deleted that other servers keep there."""
    left = Left()
    done: set[str] = set()
    for served, resources in (await others.survey()).items():
        if isinstance(resources, str):
            left.silent[served] = resources
            continue
        group = served.partition("/")[0]
        for resource in resources:
            verbs, plural = resource.get("verbs") or (), str(resource.get("name", ""))
            name = f"{plural}.{group}"
            # Of several versions the first is enough.
            if not resource.get("namespaced") or "/" in plural or not {"delete", "list"} <= set(verbs) or name in done:
                continue
            done.add(name)
            path = f"/apis/{served}/namespaces/{namespace}/{plural}"
            try:
                await _empty_one(others, path, name, "deletecollection" in verbs, left)
            except NotFound:
                continue
            except ApiError as error:
                left.failures.append(error.message)
    return left


async def _empty_one(others: Others, path: str, name: str, at_once: bool, left: Left) -> None:
    """Raises ApiError."""
    if at_once:
        try:
            await others.request("DELETE", path, {}, _BACKGROUND)
        except MethodNotAllowed:
            at_once = False
    for item in (await others.request("GET", path, {}, None)).get("items") or ():
        metadata = item.get("metadata") or {}
        if not at_once and not metadata.get("deletionTimestamp"):
            try:
                await others.request("DELETE", f"{path}/{metadata.get('name')}", {}, _BACKGROUND)
            except NotFound:
                continue
        left.objects[name] += 1
        left.finalizers.update(metadata.get("finalizers") or ())
