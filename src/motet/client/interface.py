"""What every controller, scheduler, agent, dialect and user script sees of the kernel.

`motet.client.local` serves it in the manager's process with no HTTP or JSON text in between; `motet.client.remote` over
HTTPS with a client certificate. Both raise `motet.base.errors.ApiError` subclasses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from motet.api.options import PatchType
from motet.base.selectors import EVERYTHING, FieldSelector, Selector
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

__all__ = ["ALL_FIELDS", "Client", "PatchType", "Remembered"]

ALL_FIELDS = FieldSelector()


@dataclass(frozen=True, slots=True)
class Remembered:
    """A live table that may begin as it was last known; `confirmed()` returns once the server has said what is true."""

    table: Table
    confirmed: Callable[[], Awaitable[None]]


class Client(Protocol):
    """The kernel's verbs. Documents given are plain dicts; documents returned are immutable `Document`s."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Document: ...

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Sequence[Document]: ...

    async def create(self, kind: Kind, document: Mapping[str, Any], namespace: str = "") -> Document: ...

    async def update(self, kind: Kind, document: Mapping[str, Any], *, subresource: str = "") -> Document:
        """Replace. Raises Conflict unless metadata.resourceVersion is the current one (or absent: last writer wins)."""
        ...

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Document: ...

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
    ) -> None:
        """Delete. `uid` is a precondition; `propagation` is Background, Foreground or Orphan (empty: the kind's own)."""
        ...

    async def post(
        self, kind: Kind, name: str, subresource: str, body: Mapping[str, Any], namespace: str = ""
    ) -> dict[str, Any]:
        """POST to a subresource that answers with a document of its own, such as a service account's `token`."""
        ...

    async def bind(self, bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        """Bind pods to nodes: (namespace, pod name, pod uid, node name) each; one answer each, None for success.

        Writes are independent of each other and share a commit.
        """
        ...

    async def table(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Table:
        """List, then watch: a live read-only table, already synced when returned, kept current until the client closes.

        This is the only way to start a loop. In the manager's process an unfiltered table is the cache's own.
        """
        ...

    async def remembered(self, kind: Kind) -> Remembered:
        """All of a kind like `table`, but without waiting for a server that is away when what it said last was kept.

        Good enough to answer questions by. Whoever changes anything by it waits until it is `confirmed` first.
        """
        ...

    async def close(self) -> None: ...
