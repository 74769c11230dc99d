"""Which nodes belong to the cluster, and the end of those that do not any more.

One rule: a node's certificate counts for as long as the Node it was made for exists. The certificate carries that Node's
uid, which nobody can choose or change; deleting the Node, by whatever means, ends the node's access in the same moment,
and the connections it still has are cut. A Node made later under the same name has another uid.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from motet.api.http.authenticate import Credentials, by_certificate
from motet.api.users import NODE_PREFIX, NODES, User
from motet.base.errors import NOT_A_MEMBER, Unauthorized
from motet.store.document import Document
from motet.store.table import Table

log = logging.getLogger(__name__)

_UID = "serialNumber"


class Members:
    """An authenticator for client certificates, and the book of connections that nodes have open."""

    def __init__(self, nodes: Table) -> None:
        self._nodes = nodes
        self._open: dict[str, dict[asyncio.Transport, int]] = {}
        self._unlisten = nodes.listen(self._changed)

    def close(self) -> None:
        self._unlisten()

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user of a certificate. Raises Unauthorized when it has run out, or is that of a node no longer here."""
        user = by_certificate(credentials)
        if user is None or NODES not in user.groups:
            return user
        name = user.name.removeprefix(NODE_PREFIX)
        node = self._nodes.get(name)
        uid = uid_of(credentials)
        if not user.name.startswith(NODE_PREFIX) or node is None or not uid or not _is(node, uid):
            raise Unauthorized(
                f"node {name!r} is not a member of this cluster (any more); it can join again", reason=NOT_A_MEMBER
            )
        return user

    @contextmanager
    def serving(self, user: User, transport: asyncio.Transport | None) -> Iterator[None]:
        """While a request of `user` is answered: removing the node cuts the connection."""
        if transport is None or NODES not in user.groups:
            yield
            return
        name = user.name.removeprefix(NODE_PREFIX)
        connections = self._open.setdefault(name, {})
        connections[transport] = connections.get(transport, 0) + 1
        try:
            yield
        finally:
            connections[transport] -= 1
            if not connections[transport]:
                del connections[transport]
            if not connections and self._open.get(name) is connections:
                del self._open[name]

    def _changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or (new is not None and _is(new, old.meta.uid)):
            return
        connections = self._open.pop(old.name, {})
        if connections:
            log.info("node %s was removed: cutting %d connections", old.name, len(connections))
        for transport in connections:
            transport.abort()


def _is(node: Document, uid: str) -> bool:
    return node.meta.uid == uid and node.meta.deletion_timestamp is None


def uid_of(credentials: Credentials) -> str:
    """The uid in a verified certificate's subject."""
    subject = (credentials.certificate or {}).get("subject", ())
    return next((value for part in subject for key, value in part if key == _UID), "")
