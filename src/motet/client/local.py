"""The kernel in the manager's own process: the registry's verbs and the cache's tables, with no HTTP in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from motet.api.options import QUIET, DeleteOptions, ListOptions, PatchType
from motet.api.registry import Registry
from motet.api.users import CONTROLLERS, User
from motet.base.selectors import EVERYTHING, FieldSelector, Selector
from motet.client.interface import Remembered
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table, selectable

ALL_FIELDS = FieldSelector()


class LocalClient:
    """`motet.client.interface.Client` over a registry. As many as wanted share one registry; each is one `user`."""

    def __init__(self, registry: Registry, user: User = CONTROLLERS) -> None:
        self._registry = registry
        self._user = user
        # In-process callers write what they mean; nobody is there to read warnings about unknown fields. They name no
        # field manager: what the manager's own loops write is not entered in managedFields.
        self._options = QUIET
        self._unlisten: list[Callable[[], None]] = []

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Document:
        return await self._registry.get(kind, namespace, name, self._user)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Sequence[Document]:
        options = ListOptions(labels=labels, fields=fields)
        return (await self._registry.list(kind, namespace, self._user, options)).documents

    async def create(self, kind: Kind, document: Mapping[str, Any], namespace: str = "") -> Document:
        namespace = namespace or _namespace_of(kind, document)
        return await self._registry.create(kind, namespace, _own(document), self._user, self._options)

    async def update(self, kind: Kind, document: Mapping[str, Any], *, subresource: str = "") -> Document:
        namespace, name = _namespace_of(kind, document), document["metadata"]["name"]
        updated, _ = await self._registry.update(
            kind, namespace, name, _own(document), self._user, self._options, subresource=subresource
        )
        return updated

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Document:
        patched, _ = await self._registry.patch(
            kind, namespace, name, _own(patch), patch_type, self._user, self._options, subresource=subresource
        )
        return patched

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
        options = DeleteOptions(grace_seconds=grace_seconds, uid=uid, propagation=propagation)
        await self._registry.delete(kind, namespace, name, self._user, options)

    async def post(
        self, kind: Kind, name: str, subresource: str, body: Mapping[str, Any], namespace: str = ""
    ) -> dict[str, Any]:
        return await self._registry.create_subresource(
            kind, namespace, name, subresource, _own(body), self._user, self._options
        )

    async def bind(self, bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        return await self._registry.bind(tuple(bindings))

    async def table(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Table:
        source = self._registry.table(kind)
        if not namespace and not labels and not fields:
            return source
        table, unlisten = _filtered(source, kind, namespace, labels, fields)
        self._unlisten.append(unlisten)
        return table

    async def remembered(self, kind: Kind) -> Remembered:
        return Remembered(self._registry.table(kind), _at_once)

    async def close(self) -> None:
        """Let the filtered tables go; they keep their last contents."""
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()


async def _at_once() -> None:
    """The registry is what is true."""


def _filtered(
    source: Table, kind: Kind, namespace: str, labels: Selector, fields: FieldSelector
) -> tuple[Table, Callable[[], None]]:
    """A table with the selected documents of `source`, changed in the same breath as it."""
    table = Table(kind.resource, fields=kind.fields, indexed_fields=kind.indexed_fields)
    for document in source.select(namespace, labels, fields):
        table.apply(document.key, document, document.revision)
    table.advance(source.revision)

    def selected(document: Document) -> bool:
        if namespace and document.namespace != namespace:
            return False
        if labels and not labels.matches(document.meta.labels):
            return False
        return not fields or fields.matches(selectable(document, kind.fields))

    def follow(old: Document | None, new: Document | None) -> None:
        if new is not None and selected(new):
            table.apply(new.key, new, source.revision)
        elif old is not None and table.get(old.name, old.namespace) is not None:
            table.apply(old.key, None, source.revision)

    return table, source.listen(follow)


def _namespace_of(kind: Kind, document: Mapping[str, Any]) -> str:
    return str(document["metadata"].get("namespace") or "default") if kind.namespaced else ""


def _own(value: Any) -> Any:
    """A deep copy for the registry to take over: callers keep templates and share parts of them between documents."""
    return msgspec.json.decode(msgspec.json.encode(value))
