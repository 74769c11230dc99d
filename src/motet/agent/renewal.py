"""The agent's certificate, renewed by itself at two thirds of its life and taken into use without touching a pod.

The new key is made here. Connections to come use the new certificate; those to the API server are made anew, since the server
looks at the old certificate's end on every request. Streams of logs and commands that run keep their connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Sequence
from typing import Protocol

import msgspec

from motet.base.clock import Clock
from motet.base.errors import ApiError
from motet.identity import requests
from motet.identity.messages import Issued, RenewRequest
from motet.identity.node_files import NodeFiles

_log = logging.getLogger("motet.agent.renewal")

# Looked at again at least this often, so that a machine that slept or whose clock was set does not miss its time.
_LOOK_EVERY = 3600.0
_RETRY = 60.0


class Requester(Protocol):
    """What a renewal needs of the client."""

    async def request(self, method: str, path: str, body: object = None) -> bytes: ...

    def reconnect(self) -> None: ...


class Renewal:
    """Keeps one node's certificate fresh. `contexts` are told of the new one."""

    def __init__(
        self,
        files: NodeFiles,
        client: Requester,
        clock: Clock,
        contexts: Sequence[ssl.SSLContext],
    ) -> None:
        self._files = files
        self._client = client
        self._clock = clock
        self._contexts = list(contexts)

    async def run(self) -> None:
        """Until cancelled. Raises IdentityError when the files cannot be read."""
        while True:
            life = requests.lifetime(self._files.pair.read_bytes())
            left = (life.renew_at - self._clock.now()).total_seconds()
            if left > 0:
                # Nodes that joined together need not come back together.
                spread = (life.ends - life.begins).total_seconds() / 50 * random.random()  # noqa: S311
                await self._clock.sleep(min(left + spread, _LOOK_EVERY))
                continue
            try:
                await self.renew()
                # Where the clock is far ahead every certificate looks old; that must not become a storm.
                await self._clock.sleep(max(1.0, (life.ends - life.begins).total_seconds() / 50))
            except ApiError as error:
                remaining = (life.ends - self._clock.now()).total_seconds()
                _log.warning(
                    "the certificate could not be renewed; it is good for another %.0f s: %s", remaining, error
                )
                await self._clock.sleep(min(_RETRY, max(1.0, remaining / 10)))

    async def renew(self) -> None:
        """Ask for a new certificate and take it into use. Raises ApiError."""
        made = await asyncio.to_thread(requests.make)
        body = RenewRequest(made.request.decode())
        issued = msgspec.json.decode(await self._client.request("POST", "/motet/v1/renew", body), type=Issued)
        self._files.keep(made.key, issued)
        for context in self._contexts:
            context.load_verify_locations(cadata=issued.roots.bundle)
            context.load_cert_chain(self._files.pair)
        self._client.reconnect()
        _log.info(
            "the certificate was renewed; it is good until %s", requests.lifetime(issued.certificate.encode()).ends
        )
