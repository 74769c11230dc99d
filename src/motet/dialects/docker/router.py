"""From a method and a path to a handler."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote

from aiohttp import web

from motet.dialects.docker.call import Call
from motet.dialects.docker.errors import DockerError

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """`pattern` is a path with `{name}` for one segment and `{name*}` for one or more (images have slashes)."""

    method: str
    pattern: str
    handler: Handler


class Router:
    """A table, looked through in order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(route, _compiled(route.pattern)) for route in routes]

    def find(self, method: str, path: str) -> tuple[Handler, Mapping[str, str]]:
        """Raises DockerError: 404 for what nobody serves, 405 for a method that is not for it."""
        elsewhere = False
        for route, pattern in self._routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if route.method == method or (route.method == "GET" and method == "HEAD"):
                return route.handler, {name: unquote(value) for name, value in found.groupdict().items()}
            elsewhere = True
        if elsewhere:
            raise DockerError(405, f"method {method} is not for {path}")
        raise DockerError(404, f"page not found: Motet does not serve {method} {path} of the Docker API")


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    for piece in re.split(r"(\{\w+\*?\})", pattern):
        if piece.startswith("{"):
            name = piece.strip("{}*")
            parts.append(f"(?P<{name}>{'.+' if '*' in piece else '[^/]+'})")
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts))
