"""A bearer token offered as a sub-protocol of a WebSocket, by pages in browsers, which cannot set headers.

Upstream's form of it is `base64url.bearer.authorization.k8s.io.TOKEN`, without padding. It is taken off before anybody else sees
what was offered, so that the token is neither chosen as a protocol nor sent on; something else has to be offered beside it,
because a browser wants one of its protocols chosen.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from motet.base.errors import Unauthorized

HEADER = "Sec-WebSocket-Protocol"
_PREFIX = "base64url.bearer.authorization.k8s.io."


def offered(values: Iterable[str]) -> list[str]:
    """The sub-protocols in the values of the header, in order (RFC 6455, 11.3.4)."""
    return [name for value in values for part in value.split(",") if (name := part.strip())]


def taken(values: Iterable[str]) -> tuple[str, list[str]]:
    """The token, empty for none, and the sub-protocols without it. Raises Unauthorized, which does not repeat the token."""
    names = offered(values)
    tokens = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
    left = [name for name in names if not name.startswith(_PREFIX)]
    if not tokens:
        return "", left
    if len(tokens) > 1:
        raise Unauthorized("Unauthorized: more than one bearer token was offered as a sub-protocol")
    if not left:
        raise Unauthorized("Unauthorized: a bearer token as a sub-protocol needs another sub-protocol beside it")
    return _decoded(tokens[0]), left


def _decoded(text: str) -> str:
    try:
        if not text or "=" in text:
            raise ValueError
        token = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise Unauthorized("Unauthorized: the bearer token offered as a sub-protocol cannot be read")
    return token
