"""What a request is about, read from its path and method (Kubernetes API conventions, "Verbs on Resources").

A path is either a resource path (`/api/V/...`, `/apis/G/V/...`) or anything else (discovery, health, metrics).
The parse depends on the path alone, so it is remembered; verbs depend on the method and the `watch` parameter too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import unquote

from motet.base.errors import MethodNotAllowed


@dataclass(frozen=True, slots=True)
class Target:
    """A resource path taken apart; `plural` is empty for a path that is not about a resource.

    `subresource` may have further segments. `watching` marks the old `/watch/` prefix. `beyond` is what follows a `proxy`
    subresource, as it came: the path at the other end, or nothing.
    """

    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""
    watching: bool = False
    beyond: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.plural)


# What follows is the business of whatever is proxied to.
_PROXY = re.compile(r"(/api/[^/]+/(?:namespaces/[^/]+/(?:pods|services)|nodes)/[^/]+/proxy)(/.*)", re.DOTALL)


@lru_cache(maxsize=4096)
def parse(raw_path: str) -> Target:
    """Take a percent-encoded path apart. A trailing slash means nothing; an encoded slash is in no name of anything."""
    if "/proxy/" in raw_path and (proxied := _PROXY.fullmatch(raw_path)):
        return replace(_parse(proxied[1]), beyond=proxied[2])
    return _parse(raw_path)


def _parse(raw_path: str) -> Target:
    segments = [unquote(segment) for segment in raw_path.split("/")[1:]]
    if any("/" in segment for segment in segments):
        return Target(raw_path)
    while segments and not segments[-1]:
        segments.pop()
    path = "/" + "/".join(segments)
    match segments:
        case ["api", version, _, *_]:
            return _resource(path, "", version, segments[2:])
        case ["apis", group, version, _, *_]:
            return _resource(path, group, version, segments[3:])
        case _:
            return Target(path)


def _resource(path: str, group: str, version: str, rest: list[str]) -> Target:
    watching = rest[0] == "watch"
    if watching:
        rest = rest[1:]
        if not rest:
            return Target(path)
    namespace = ""
    # `/namespaces/x/finalize` and `/namespaces/x/status` are about the namespace itself.
    if rest[0] == "namespaces" and len(rest) > 2 and not (not group and rest[2] in ("finalize", "status")):
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and not group and len(rest) >= 2:
        namespace = rest[1]
    plural, name = rest[0], rest[1] if len(rest) > 1 else ""
    return Target(path, group, version, namespace, plural, name, "/".join(rest[2:]), watching)


_READING = {"GET": "get", "HEAD": "get"}
_WRITING = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_PROXYING = {**_READING, **_WRITING, "DELETE": "delete", "OPTIONS": "get"}


def verb(method: str, target: Target, watch: bool) -> str:
    """The API verb of a request on a resource. Raises MethodNotAllowed."""
    if target.subresource == "proxy" and method in _PROXYING:
        return _PROXYING[method]
    if method in _READING:
        if watch or target.watching:
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    found = _WRITING.get(method)
    if found is None:
        raise MethodNotAllowed(f"the server does not allow this method on the requested resource: {method}")
    return found


def verb_or_method(method: str, target: Target, watch: bool) -> str:
    """The same, or the method itself where it is none of the API's."""
    try:
        return verb(method, target, watch)
    except MethodNotAllowed:
        return method.lower()
