"""How this machine becomes a node: its key is made here, and the cluster certifies it.

With a token: fetch the root, compare its digest with the token's, and only then, over a connection that nobody without
that root's blessing can hold, send the secret. On the manager's own machine the administrator's certificate takes the
token's place.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from motet.base import release
from motet.base.errors import ApiError, CallerError, MotetError, Unavailable, from_status
from motet.identity import tokens
from motet.identity.messages import Issued, JoinRequest, Roots
from motet.identity.node_files import NodeFiles
from motet.identity.tokens import Token

Answer = TypeVar("Answer")

_WHO = {"User-Agent": f"motet-join/{release.VERSION}"}
_SECONDS = 20.0
_LARGEST = 256 * 1024


async def roots(server: str, token: Token) -> Roots:
    """The roots of the cluster at `server`. Raises MotetError when they are not those the token was made for."""
    # Whoever answers is not believed: what comes is compared with the token.
    stranger = ssl.create_default_context()
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    found = await _ask(server, "GET", "/motet/v1/ca", stranger, Roots)
    if not token.pins(found.ca.encode()):
        raise MotetError(
            f"{server} is not the cluster this token is for: its root certificate is another. Either the address is "
            "wrong, the root was changed and the token is old, or somebody sits in between. Nothing secret was sent"
        )
    return found


async def join(
    server: str, token: Token, node: str, address: str, directory: Path, trusted: Roots | None = None
) -> Issued:
    """Join with a token and keep what was issued in `directory`. Raises MotetError, ApiError."""
    trusted = trusted or await roots(server, token)
    files = NodeFiles(directory)
    asked = JoinRequest(node, address, "", secret=token.secret)
    if files.complete:
        # One that has run out, or is another cluster's, does not get through the handshake: then the key alone has to tell.
        with contextlib.suppress(OSError, ssl.SSLError, Unavailable):
            known = _trusting(trusted)
            known.load_cert_chain(files.pair)
            return await _join(server, known, asked, files)
    return await _join(server, _trusting(trusted), asked, files)


def _trusting(roots: Roots) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=roots.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def join_as_administrator(
    server: str, context: ssl.SSLContext, node: str, address: str, directory: Path
) -> Issued:
    """Join from the manager's own machine. Raises ApiError."""
    return await _join(server, context, JoinRequest(node, address, ""), NodeFiles(directory))


async def _join(server: str, context: ssl.SSLContext, asked: JoinRequest, files: NodeFiles) -> Issued:
    made = await asyncio.to_thread(files.key_request)
    asked = msgspec.structs.replace(asked, request=made.request.decode())
    try:
        issued = await _ask(server, "POST", "/motet/v1/join", context, Issued, asked)
    except CallerError:
        files.forget_pending()
        raise
    files.keep(made.key, issued)
    return issued


async def leave(server: str, context: ssl.SSLContext) -> None:
    """Tell the cluster that the node whose certificate `context` shows is leaving. Raises ApiError."""
    await _ask(server, "POST", "/motet/v1/leave", context, dict)


async def _ask(
    server: str, method: str, path: str, context: ssl.SSLContext, answer: type[Answer], body: object = None
) -> Answer:
    data = b"" if body is None else msgspec.json.encode(body)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), headers=_WHO) as session,
            session.request(method, server + path, data=data, timeout=aiohttp.ClientTimeout(_SECONDS)) as response,
        ):
            content = await response.content.read(_LARGEST)
            if response.status >= 400:
                raise _refusal(response.status, content)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"the manager at {server} cannot be reached: {str(error) or type(error).__name__}") from error
    try:
        return msgspec.json.decode(content, type=answer)
    except msgspec.MsgspecError as error:
        raise MotetError(f"{server} does not answer like a manager of Motet: {error}") from error


def _refusal(status: int, content: bytes) -> ApiError:
    try:
        return from_status(msgspec.json.decode(content, type=dict))
    except msgspec.DecodeError:
        return from_status({"code": status, "message": content[:300].decode(errors="replace")})


def parse_server(text: str) -> str:
    """HOST:PORT as a URL; the port may be left out. Raises MotetError."""
    host, colon, port = text.removeprefix("https://").rstrip("/").rpartition(":")
    if not colon:
        host, port = port, "6443"
    if not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in host:
        raise MotetError(f"{text!r} is not the address of a manager; expected HOST:PORT such as 192.0.2.1:6443")
    return f"https://{host}:{port}"


def parse_token(text: str) -> Token:
    """A join token. Raises BadToken."""
    return tokens.parse(text)
