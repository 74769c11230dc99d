"""Bodies and headers of answers: documents, lists, errors as `metav1.Status`."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml
from aiohttp import web
from multidict import CIMultiDict

from motet.base.errors import ApiError, Unauthorized

JSON = "application/json"
YAML = "application/yaml"
# Upstream's threshold: below it, compressing costs more than it saves.
GZIP_ABOVE = 128 * 1024

encode = msgspec.json.Encoder().encode


def body(
    data: bytes, *, status: int = 200, content_type: str = JSON, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer with these exact bytes."""
    all_headers: CIMultiDict[str] = CIMultiDict()
    all_headers["Content-Type"] = content_type
    all_headers["Cache-Control"] = "no-cache, private"
    if headers:
        all_headers.update(headers)
    return web.Response(body=data, status=status, headers=all_headers)


def document(value: Any, *, status: int = 200, content_type: str = JSON) -> web.Response:
    """An answer made of a plain value (or bytes already encoded inside a `msgspec.Raw`)."""
    return body(encode(value), status=status, content_type=content_type)


def text(value: str, *, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> web.Response:
    return body(value.encode(), status=status, content_type=content_type, headers={"X-Content-Type-Options": "nosniff"})


def failure(error: ApiError) -> web.Response:
    """The `Status` of an error, with the headers that go with its code."""
    answer = document(error.status(), status=error.code)
    retry = error.details.get("retryAfterSeconds")
    if retry:
        answer.headers["Retry-After"] = str(retry)
    if isinstance(error, Unauthorized):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="motet"'
    return answer


def success(details: Mapping[str, Any] | None = None, message: str = "") -> dict[str, Any]:
    """A `Status` that says it worked."""
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if message:
        status["message"] = message
    if details:
        status["details"] = dict(details)
    return status


def warnings(messages: Iterable[str]) -> list[str]:
    """Values of `Warning` headers (RFC 7234, 5.5; code 299), each message quoted and cut to what a header bears."""
    values = []
    for message in dict.fromkeys(messages):
        clean = "".join(char if char.isprintable() else " " for char in message)[:1024]
        quoted = clean.replace("\\", "\\\\").replace('"', '\\"')
        values.append(f'299 - "{quoted}"')
    return values


def prettier(data: bytes) -> bytes:
    return msgspec.json.format(data, indent=2) + b"\n"


def as_yaml(data: bytes) -> bytes:
    return yaml.dump(msgspec.json.decode(data), Dumper=_DUMPER, sort_keys=False, allow_unicode=True).encode()


_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


async def compressed(data: bytes) -> bytes:
    """gzip off the loop: zlib lets go of the interpreter lock."""
    return await asyncio.to_thread(gzip.compress, data, 1)
