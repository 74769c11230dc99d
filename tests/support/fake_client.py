"""A kernel of its own in memory: the `Client` verbs without a server, for tests of the rooms above it.

Merge patches, status subresource, graceful deletion of pods, uid preconditions; no validation, no defaults.
`fail` makes the next calls of a verb raise; `away` makes every call raise Unavailable.
"""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from motet.base.clock import Clock, SystemClock
from motet.base.errors import AlreadyExists, Conflict, Unavailable, not_found
from motet.base.selectors import EVERYTHING, FieldSelector, Selector
from motet.base.timestamps import format_time
from motet.client.interface import ALL_FIELDS, PatchType, Remembered
from motet.kinds.kind import Kind
from motet.store.document import Document, Key, encode
from motet.store.table import Table, selectable


class FakeClient:
    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._revision = itertools.count(1)
        self._documents: dict[str, Document] = {}
        self._tables: list[tuple[Kind, str, Selector, FieldSelector, Table]] = []
        self.away = False
        self.writes: list[tuple[str, str, str]] = []
        self.fail: dict[str, list[Exception]] = {}
        self.posted: list[dict[str, Any]] = []
        self.posts: list[dict[str, Any]] = []

    def _enter(self, verb: str, kind: Kind, name: str) -> None:
        if self.away:
            raise Unavailable("the API server is away (test)")
        if self.fail.get(verb):
            raise self.fail[verb].pop(0)
        if verb not in ("get", "list"):
            self.writes.append((verb, kind.plural, name))

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Document:
        self._enter("get", kind, name)
        return self._find(kind, name, namespace)

    def _find(self, kind: Kind, name: str, namespace: str) -> Document:
        document = self._documents.get(str(Key(kind.resource, namespace if kind.namespaced else "", name)))
        if document is None:
            raise not_found(kind.group, kind.plural, name)
        return document

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Sequence[Document]:
        self._enter("list", kind, "")
        return [
            document for document in self._documents.values() if _matches(kind, namespace, labels, fields, document)
        ]

    async def create(self, kind: Kind, document: Mapping[str, Any], namespace: str = "") -> Document:
        new = copy.deepcopy(dict(document))
        meta = new.setdefault("metadata", {})
        if kind.namespaced:
            meta.setdefault("namespace", namespace or "default")
        if not meta.get("name"):
            meta["name"] = meta.get("generateName", "x-") + uuid.uuid4().hex[:5]
        self._enter("create", kind, meta["name"])
        key = Key(kind.resource, meta.get("namespace", ""), meta["name"])
        if str(key) in self._documents:
            raise AlreadyExists(f'{kind.plural} "{meta["name"]}" already exists')
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", format_time(self._clock.now()))
        new.setdefault("apiVersion", kind.api_version)
        new.setdefault("kind", kind.kind)
        return self._put(kind, key, new)

    async def update(self, kind: Kind, document: Mapping[str, Any], *, subresource: str = "") -> Document:
        meta = document["metadata"]
        self._enter("update", kind, meta["name"])
        old = self._find(kind, meta["name"], meta.get("namespace", ""))
        version = meta.get("resourceVersion")
        if version and version != old.meta.resource_version:
            raise Conflict("the object has been modified")
        new = copy.deepcopy(dict(document))
        if subresource:
            new = old.decode() | {subresource: new.get(subresource)}
        return self._put(kind, old.key, new)

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
        self._enter("patch", kind, name)
        assert patch_type is PatchType.MERGE, "this fake knows merge patches only"
        assert isinstance(patch, Mapping)
        old = self._find(kind, name, namespace)
        uid = (patch.get("metadata") or {}).get("uid")
        if uid and uid != old.meta.uid:
            raise Conflict(f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.meta.uid}")
        return self._put(kind, old.key, merge(old.decode(), patch))

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
        self._enter("delete", kind, name)
        old = self._find(kind, name, namespace)
        if uid and uid != old.meta.uid:
            raise Conflict(f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.meta.uid}")
        body = old.decode()
        if kind.plural == "pods" and grace_seconds != 0 and body["spec"].get("nodeName"):
            grace = body["spec"].get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds
            body["metadata"].update(deletionTimestamp=format_time(self._clock.now()), deletionGracePeriodSeconds=grace)
            self._put(kind, old.key, body)
            return
        if body["metadata"].get("finalizers"):
            body["metadata"]["deletionTimestamp"] = format_time(self._clock.now())
            self._put(kind, old.key, body)
            return
        self._remove(kind, old)

    async def post(
        self, kind: Kind, name: str, subresource: str, body: Mapping[str, Any], namespace: str = ""
    ) -> dict[str, Any]:
        """Answered by `posts`, in order."""
        self._enter("post", kind, f"{name}/{subresource}")
        self.posted.append(dict(body))
        return self.posts.pop(0)

    async def bind(self, bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        raise NotImplementedError

    async def table(
        self, kind: Kind, namespace: str = "", *, labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> Table:
        self._enter("list", kind, "")
        table = Table(kind.resource, fields=kind.fields, indexed_fields=kind.indexed_fields)
        self._tables.append((kind, namespace, labels, fields, table))
        for document in list(self._documents.values()):
            if _matches(kind, namespace, labels, fields, document):
                table.apply(document.key, document, document.revision)
        return table

    async def remembered(self, kind: Kind) -> Remembered:
        return Remembered(await self.table(kind), _at_once)

    async def close(self) -> None:
        pass

    def _put(self, kind: Kind, key: Key, new: dict[str, Any]) -> Document:
        meta = new["metadata"]
        if meta.get("deletionTimestamp") and kind.plural != "pods" and not meta.get("finalizers"):
            old = self._documents[str(key)]
            self._remove(kind, old)
            return old
        revision = next(self._revision)
        document = Document.stored(str(key), encode(new), revision)
        self._documents[str(key)] = document
        for of, namespace, labels, fields, table in self._tables:
            if of.resource == kind.resource:
                if _matches(kind, namespace, labels, fields, document):
                    table.apply(key, document, revision)
                elif table.get(key.name, key.namespace) is not None:
                    table.apply(key, None, revision)
        return document

    def _remove(self, kind: Kind, document: Document) -> None:
        del self._documents[str(document.key)]
        revision = next(self._revision)
        for of, _, _, _, table in self._tables:
            if of.resource == kind.resource and table.get(document.name, document.namespace) is not None:
                table.apply(document.key, None, revision)


async def _at_once() -> None:
    pass


def _matches(kind: Kind, namespace: str, labels: Selector, fields: FieldSelector, document: Document) -> bool:
    return (
        document.key.resource == kind.resource
        and namespace in ("", document.namespace)
        and labels.matches(document.meta.labels)
        and (not fields or fields.matches(selectable(document, kind.fields) | _node_name(document)))
    )


def _node_name(document: Document) -> dict[str, str]:
    name = document.decode().get("spec", {}).get("nodeName")
    return {"spec.nodeName": name} if name else {}


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result
