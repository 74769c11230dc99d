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
from motet.identity.messages import Issued, RenewRequest, Roots
from motet.identity.node_files import NodeFiles

_log = logging.getLogger("motet.agent.renewal")

# Looked at again this often: for roots that come and go, and since a machine may have slept or its clock been set.
_LOOK_EVERY = 10.0
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
        # Set when a root is no longer to be trusted, which takes a new process.
        self.outdated = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. Raises IdentityError when the files cannot be read."""
        # Nodes that joined together need not come back together.
        spread = random.random() / 50  # noqa: S311
        while True:
            life = requests.lifetime(self._files.pair.read_bytes())
            length = (life.ends - life.begins).total_seconds()
            left = (life.renew_at - self._clock.now()).total_seconds() + spread * length
            if left > 0 and not await self._roots_changed():
                await self._clock.sleep(min(left, _LOOK_EVERY))
                continue
            try:
                await self.renew()
                # Where the clock is far ahead every certificate looks old; that must not become a storm.
                await self._clock.sleep(min(_LOOK_EVERY, max(1.0, length / 50)))
            except ApiError as error:
                remaining = (life.ends - self._clock.now()).total_seconds()
                _log.warning(
                    "the certificate could not be renewed; it is good for another %.0f s: %s", remaining, error
                )
                await self._clock.sleep(min(_RETRY, max(1.0, remaining / 10)))

    async def _roots_changed(self) -> bool:
        try:
            answer = await self._client.request("GET", "/motet/v1/ca")
        except ApiError:
            return False
        return msgspec.json.decode(answer, type=Roots).bundle.encode() != self._files.ca.read_bytes()

    async def renew(self) -> None:
        """Ask for a new certificate and take it into use. Raises ApiError."""
        made = await asyncio.to_thread(requests.make)
        body = RenewRequest(made.request.decode())
        issued = msgspec.json.decode(await self._client.request("POST", "/motet/v1/renew", body), type=Issued)
        before = _roots(self._files.ca.read_text())
        self._files.keep(made.key, issued)
        for context in self._contexts:
            context.load_verify_locations(cadata=issued.roots.bundle)
            context.load_cert_chain(self._files.pair)
        self._client.reconnect()
        if before - _roots(issued.roots.bundle):
            # A context learns roots but forgets none.
            self.outdated.set()
        _log.info(
            "the certificate was renewed; it is good until %s", requests.lifetime(issued.certificate.encode()).ends
        )


def _roots(bundle: str) -> set[str]:
    return {part.strip() for part in bundle.split("-----END CERTIFICATE-----") if part.strip()}
