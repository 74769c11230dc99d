"""Requests of the manager's own to the servers behind APIServices: what others measure, and what they keep in a namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from motet.api.aggregation import identity
from motet.api.aggregation.connections import Connections, words
from motet.api.aggregation.services import Remote
from motet.api.users import CONTROLLERS
from motet.base.errors import from_status

_SECONDS = 10.0
_GOOD = (200, 201, 202)
_LARGEST = 16 * 1024 * 1024


async def ask(
    connections: Connections,
    remote: Remote,
    path: str,
    query: Mapping[str, str],
    method: str = "GET",
    body: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Ask for `path` (already quoted) as the manager's loops. Raises ApiError: the other server's own, or Unreachable."""
    if not remote.available:
        raise remote.unavailable(remote.why)
    try:
        async with (
            asyncio.timeout(_SECONDS),
            connections.session.request(
                method,
                URL(remote.url + path, encoded=True).with_query(query),
                headers=CIMultiDict([("Accept", "application/json"), *identity.told(CONTROLLERS)]),
                json=body,
                ssl=connections.context(remote),
                allow_redirects=False,
            ) as answer,
        ):
            status, data = answer.status, await answer.content.read(_LARGEST)
        document = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise remote.unavailable(f"the answer ({status}) is no JSON object: {error}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise remote.unavailable(words(error)) from error
    if status not in _GOOD:
        raise from_status({"message": f"{path} was answered with {status}", **document, "code": status})
    return document
