"""One Compose file laid over another (Compose Specification, "Merge"). Pure, over trees of values.

Maps are merged key by key, lists are appended, everything else is replaced. Some keys have rules of their own: commands are
replaced whole, what may be written as a list or as a map is merged as a map, and of entries that stand for the same
thing (a mount at the same place, the same port) the later one counts. `!reset` takes a key away, `!override` replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import replace

from motet.cli.compose.source import OVERRIDE, RESET, Value

Map = dict[str, Value]

_REPLACED = re.compile(r"services\.[^.]+\.(command|entrypoint|healthcheck\.test)")
_NAMED = re.compile(
    r"services\.[^.]+\.((environment|labels|annotations|sysctls|extra_hosts|depends_on|networks)"
    r"|build\.(args|labels|additional_contexts|extra_hosts)|deploy\.labels)"
    r"|(networks|volumes|secrets|configs)\.[^.]+\.labels"
)
_UNIQUE = re.compile(r"services\.[^.]+\.(volumes|secrets|configs|devices|ports)")


def merge(base: Value, over: Value) -> Value:
    """What both say together, `over` where they differ. Neither is changed."""
    if over.tag == OVERRIDE:
        return replace(over, tag="")
    path = over.path
    if base.content is None or over.content is None or _REPLACED.fullmatch(path):
        return over if over.content is not None else base
    if _NAMED.fullmatch(path):
        base, over = named(base), named(over)
    if path.endswith(".build") and path.startswith("services."):
        base, over = _built(base), _built(over)
    if isinstance(base.content, dict) and isinstance(over.content, dict):
        return replace(over, content=_maps(base.content, over.content))
    if isinstance(base.content, list) or isinstance(over.content, list):
        items = [*_items(base), *_items(over)]
        found = _UNIQUE.fullmatch(path)
        return replace(over, content=_latest(items, _IDENTITIES[found[1]] if found else _same))
    return over


def settled(value: Value) -> Value:
    """The tree without what its `!reset` tags take away: what a file says that lies over nothing."""
    if isinstance(value.content, dict):
        kept = {key: settled(each) for key, each in value.content.items() if each.tag != RESET}
        return replace(value, content=kept, tag="")
    if isinstance(value.content, list):
        return replace(value, content=[settled(each) for each in value.content if each.tag != RESET], tag="")
    return replace(value, tag="") if value.tag else value


def moved(value: Value, path: str) -> Value:
    """The tree as if it had been written at `path`."""
    content = value.content
    if isinstance(content, dict):
        content = {key: moved(each, f"{path}.{key}" if path else key) for key, each in content.items()}
    elif isinstance(content, list):
        content = [moved(each, f"{path}[{index}]") for index, each in enumerate(content)]
    return replace(value, path=path, content=content)


def named(value: Value) -> Value:
    """A list of NAME=VALUE, or of names alone, as the map that it stands for."""
    if not isinstance(value.content, list):
        return value
    hosts = value.path.endswith("extra_hosts")
    found: Map = {}
    for item in value.content:
        text = item.content if isinstance(item.content, str) else ""
        name, *rest = re.split("[=:]" if hosts else "=", text, maxsplit=1)
        below = replace(item, path=f"{value.path}.{name}", content=rest[0] if rest else None)
        if hosts and name in found:
            below = replace(below, content=[*_items(found[name]), below])
        found[name] = below
    return replace(value, content=found)


def _maps(base: Map, over: Map) -> Map:
    found = dict(base)
    for key, value in over.items():
        if value.tag == RESET:
            found.pop(key, None)
        elif key in base:
            found[key] = merge(base[key], value)
        else:
            found[key] = settled(value)
    return found


def _built(value: Value) -> Value:
    """`build: PATH` as the map that it stands for."""
    if not isinstance(value.content, str):
        return value
    return replace(value, content={"context": replace(value, path=f"{value.path}.context")})


def _items(value: Value) -> list[Value]:
    return value.content if isinstance(value.content, list) else [value]


def _latest(items: list[Value], identity: Callable[[Value], Hashable]) -> list[Value]:
    """The items, each in the place of the first and the form of the last of those that are the same."""
    found: dict[Hashable, Value] = {}
    for item in items:
        found[identity(item)] = item
    return list(found.values())


def _same(item: Value) -> Hashable:
    return item.content if isinstance(item.content, str) else id(item)


def _of(item: Value, key: str) -> str:
    """A text in a map; empty where there is none."""
    value = item.content.get(key) if isinstance(item.content, dict) else None
    return value.content if value is not None and isinstance(value.content, str) else ""


def _target(item: Value) -> Hashable:
    """Where a mount or a device (`SOURCE:TARGET:OPTIONS`, or a path alone) is in the container."""
    if isinstance(item.content, str):
        parts = item.content.split(":")
        return parts[1] if len(parts) > 1 else parts[0]
    return _of(item, "target") or id(item)


def _file(item: Value) -> Hashable:
    if isinstance(item.content, str):
        return item.content
    return _of(item, "target") or _of(item, "source") or id(item)


def _port(item: Value) -> Hashable:
    if isinstance(item.content, str):
        return item.content.removesuffix("/tcp")
    where = [part for part in (_of(item, "host_ip"), _of(item, "published"), _of(item, "target")) if part]
    protocol = _of(item, "protocol")
    return ":".join(where) + (f"/{protocol}" if protocol not in ("", "tcp") else "")


_IDENTITIES: dict[str, Callable[[Value], Hashable]] = {
    "volumes": _target,
    "devices": _target,
    "secrets": _file,
    "configs": _file,
    "ports": _port,
}
