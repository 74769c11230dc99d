"""The loop over CertificateSigningRequests: one step of `decide` at a time."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from motet.api.attributes import Attributes
from motet.api.users import User
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.timestamps import parse_time
from motet.client.interface import Client
from motet.controllers.certificates import decide
from motet.controllers.certificates.decide import Fail, MayApprove, Remove, Sign, Wait
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.identity import signingrequests
from motet.identity.authority import NODE_USER_PREFIX, Authority
from motet.identity.signingrequests import LIFETIME, NODE_CLIENT, Asked
from motet.kinds import certificatesigningrequest as csr_kind
from motet.kinds import node as node_kind
from motet.kinds.certificatesigningrequest import APPROVED, FAILED, CsrView
from motet.store.document import Document
from motet.store.table import Table

# Seconds after which somebody may have been given the permission that was missing.
_ASK_AGAIN = 60.0
_NO_NODE = "there is no Node {name!r}: machines become nodes with motet join"


class Certificates:
    """`may` is the authorizer; `authority` gives the root that signs now."""

    def __init__(
        self, client: Client, clock: Clock, authority: Callable[[], Authority], may: Callable[[User, Attributes], bool]
    ) -> None:
        self._client = client
        self._clock = clock
        self._authority = authority
        self._may = may
        self._requests: Table
        self._nodes: Table

    async def run(self) -> None:
        """Look after all requests until cancelled."""
        self._requests = await self._client.table(csr_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        loop: Controller[ObjectKey] = Controller("certificates", self.reconcile, clock=self._clock)
        loop.watch(self._requests, own_key)
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """The next step of one request; seconds until time alone asks for another."""
        request = self._requests.get(key[1])
        if request is None:
            return None
        csr, now = request.view(CsrView), self._clock.now()
        created = parse_time(request.meta.creation_timestamp) if request.meta.creation_timestamp else now
        step = decide.decide(csr, created, now)
        with contextlib.suppress(NotFound):
            match step:
                case Remove():
                    await self._client.delete(csr_kind.KIND, request.name, uid=request.meta.uid)
                case Fail(why):
                    await self._note(request, FAILED, "SignerValidationFailure", why, "status")
                case Sign(asked):
                    await self._sign(request, csr, asked)
                case MayApprove(subresource, message):
                    if self._may(
                        _author(csr), Attributes("create", csr_kind.KIND.group, csr_kind.KIND.plural, subresource)
                    ):
                        await self._note(request, APPROVED, "AutoApproved", message, "approval")
                    else:
                        return _ASK_AGAIN
                case Wait(until):
                    return (until - now).total_seconds() if until is not None else None
        return None

    async def _sign(self, request: Document, csr: CsrView, asked: Asked) -> None:
        uid = ""
        if csr.spec.signer_name == NODE_CLIENT:
            # A node's certificate counts for the Node it was made for, and carries its uid.
            name = asked.common_name.removeprefix(NODE_USER_PREFIX)
            node = self._nodes.get(name)
            if node is None:
                await self._note(request, FAILED, "NoSuchNode", _NO_NODE.format(name=name), "status")
                return
            uid = node.meta.uid
        wanted = timedelta(seconds=csr.spec.expiration_seconds) if csr.spec.expiration_seconds else LIFETIME
        pem = signingrequests.sign(
            self._authority(), asked, csr.spec.usages or (), now=self._clock.now(), lifetime=wanted, uid=uid
        )
        changed = request.decode()
        changed["status"] = {**(changed.get("status") or {}), "certificate": base64.b64encode(pem).decode()}
        await self._client.update(csr_kind.KIND, changed, subresource="status")

    async def _note(self, request: Document, kind: str, reason: str, message: str, subresource: str) -> None:
        changed = request.decode()
        status: dict[str, Any] = changed.setdefault("status", {})
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        status["conditions"] = [*(status.get("conditions") or ()), condition]
        await self._client.update(csr_kind.KIND, changed, subresource=subresource)


def _author(csr: CsrView) -> User:
    return User(csr.spec.username, csr.spec.groups or (), csr.spec.uid, csr.spec.extra or {})
