"""The verbs of the Kubernetes API over store, cache and catalogue.

The HTTP edge and the in-process client both end here. A write goes: default, prepare, metadata, schema, validate,
admission, encode once, submit, wait until the cache has it. A read is answered from the cache's tables.
All methods raise `motet.base.errors.ApiError` subclasses. None of them changes a document given to it... except that
`create` and `update` take over the dict they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from motet.api.listing import Page
from motet.api.options import DeleteOptions, ListOptions, RequestOptions, WatchOptions
from motet.api.users import User
from motet.base.clock import Clock
from motet.client.interface import PatchType
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json, Kind
from motet.store.cache import Cache, Subscription
from motet.store.document import Document
from motet.store.engine import Store


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete answers: the object (`document`) when it is still there or its kind returns it, else the
    `metav1.Status` of success. `gone` says whether it has left the store."""

    gone: bool
    document: Document | None = None
    status: Json | None = None


@dataclass(slots=True)
class Watch:
    """A watch begun. Send `initial` as ADDED events, then (when `bookmark_initial`) a BOOKMARK at `revision` annotated
    `k8s.io/initial-events-end: "true"`, then what `events` yields (batches of WatchEvent)."""

    initial: Sequence[Document]
    revision: int
    bookmark_initial: bool
    events: Subscription


class Registry:
    def __init__(self, store: Store, cache: Cache, catalogue: Catalogue, clock: Clock) -> None: ...

    async def create(
        self, kind: Kind, namespace: str, document: Json, user: User, options: RequestOptions = ..., *, name: str = ""
    ) -> Document: ...

    async def create_subresource(
        self, kind: Kind, namespace: str, name: str, subresource: str, body: Json, user: User, options: RequestOptions = ...
    ) -> Json:
        """POST to pods/binding and pods/eviction. Answers a `metav1.Status`."""
        ...

    async def get(
        self, kind: Kind, namespace: str, name: str, user: User, *, resource_version: str = "", subresource: str = ""
    ) -> Document:
        """`subresource` is "", "status" or "scale" (then the document is an autoscaling/v1 Scale)."""
        ...

    async def list(self, kind: Kind, namespace: str, user: User, options: ListOptions = ...) -> Page: ...

    async def watch(self, kind: Kind, namespace: str, user: User, options: WatchOptions = ...) -> Watch: ...

    async def update(
        self, kind: Kind, namespace: str, name: str, document: Json, user: User, options: RequestOptions = ..., *, subresource: str = ""
    ) -> tuple[Document, bool]:
        """The document and whether it was created (201). `subresource`: "", status, scale, finalize."""
        ...

    async def patch(
        self, kind: Kind, namespace: str, name: str, patch: Any, patch_type: PatchType, user: User,
        options: RequestOptions = ..., *, subresource: str = "",
    ) -> tuple[Document, bool]: ...

    async def delete(
        self, kind: Kind, namespace: str, name: str, user: User, options: DeleteOptions = ...
    ) -> Deleted: ...

    async def delete_collection(
        self, kind: Kind, namespace: str, user: User, options: DeleteOptions = ..., which: ListOptions = ...
    ) -> Page: ...

    async def bind(self, bindings: Sequence[tuple[str, str, str, str]]) -> list[Exception | None]:
        """(namespace, pod, uid or "", node) each."""
        ...
