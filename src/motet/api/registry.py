"""The verbs of the Kubernetes API over store, cache and catalogue.

The HTTP edge and the in-process client both end here. A write goes through the `pipeline`, is encoded once, submitted,
and answered when the cache has it; a read is answered from the cache's tables. Writes are compare-and-swap: who loses a
race decides again on the newer document, unless the request itself pinned a resourceVersion.
All methods raise `motet.base.errors.ApiError` subclasses. Documents given to `create` and `update` are taken over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from motet.api import binding, deletion, evicting, listing, meta, ownership, patching, scale, shortcuts
from motet.api.admission import BUILT_IN, Chain, Held, release
from motet.api.allocate import ServiceNumbers
from motet.api.deletion import GONE, UNCHANGED, Fate
from motet.api.listing import Page
from motet.api.options import NOBODY, DeleteOptions, ListOptions, PatchType, RequestOptions, WatchOptions
from motet.api.patch import merge_patch
from motet.api.pipeline import Pipeline, namespace_of
from motet.api.projecting import kept, received, shown, shown_page, stored_fields, stored_kind
from motet.api.users import CONTROLLERS, User
from motet.api.watching import Watch, begin_watch
from motet.api.writing import Decide, Writer, failed
from motet.base import names
from motet.base.clock import Clock
from motet.base.errors import (
    AlreadyExists,
    ApiError,
    MethodNotAllowed,
    NotFound,
    already_exists,
    conflict,
    not_found,
)
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json, Kind
from motet.kinds.schema.gate import Gate
from motet.store.cache import Cache, Resource
from motet.store.document import Document, Key
from motet.store.engine import Change, RevisionConflict, Store, StoreError
from motet.store.subscription import Deliver
from motet.store.table import Table

_GENERATED_ATTEMPTS = 8
# Kinds whose DELETE answers with the object rather than a Status (upstream: ReturnDeletedObject).
_RETURNED: Final = frozenset(
    {
        "core/pods",
        "core/services",
        "core/persistentvolumes",
        "core/persistentvolumeclaims",
        "core/serviceaccounts",
        "storage.k8s.io/storageclasses",
        "storage.k8s.io/csidrivers",
        "storage.k8s.io/csinodes",
        "storage.k8s.io/volumeattachments",
    }
)
PODS: Final = "core/pods"
BUDGETS: Final = "policy/poddisruptionbudgets"
# Of callers that ask for nothing; nobody reads what they are warned of.
_YES = RequestOptions(warnings=NOBODY)
# What stands behind a subresource that is POSTed to: from the object, the body and who asks to the answer.
Handler = Callable[[Document, Json, User, RequestOptions], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete answers: the object (`document`) when it is still there or its kind returns it, else the
    `metav1.Status` of success. `gone` says whether it has left the store."""

    gone: bool
    document: Document | None = None
    status: Json | None = None


def resources(catalogue: Catalogue) -> list[Resource]:
    """What the cache has to keep for a registry to serve a catalogue."""
    return [
        Resource(kind.resource, fields=kind.fields, indexed_fields=kind.indexed_fields)
        for kind in catalogue
        if kind.projection is None
    ]


class Registry:
    """One per manager. The cache must be started before the first call."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        catalogue: Catalogue,
        clock: Clock,
        *,
        admission: Chain | None = None,
        numbers: ServiceNumbers = ServiceNumbers(),
    ) -> None:
        self.store = store
        self.cache = cache
        self.catalogue = catalogue
        self.clock = clock
        self._pipeline = Pipeline(admission or Chain(BUILT_IN), cache.table, clock)
        self._writer = Writer(store, cache, numbers)
        self._handlers: dict[tuple[str, str], Handler] = {}

    def answer(self, kind: Kind, subresource: str, handler: Handler) -> None:
        """Have `handler` answer what is POSTed to a subresource."""
        self._handlers[kind.resource, subresource] = handler

    # Reading

    def table(self, kind: Kind) -> Table:
        """The live table of a kind, as of the last write the cache has applied. Raises NotFound for a kind that went."""
        try:
            return self.cache.table(kind.resource)
        except KeyError:
            raise NotFound("the server could not find the requested resource") from None

    async def get(
        self, kind: Kind, namespace: str, name: str, user: User, *, resource_version: str = "", subresource: str = ""
    ) -> Document:
        """`subresource` is "", status, finalize, an aspect, or scale (then the document is an autoscaling/v1 Scale)."""
        seen, kind = kind, stored_kind(kind)
        _check_subresource(kind, subresource)
        if resource_version:
            await self._writer.fresh(listing.read_revision(resource_version))
        found = self._writer.current(kind, namespace_of(kind, namespace), name)
        return await self._shown(seen, found, subresource)

    async def list(self, kind: Kind, namespace: str, user: User, options: ListOptions = ListOptions()) -> Page:
        """One page. Raises BadRequest, Invalid, Expired."""
        listing.check_fields(kind, options.fields)
        if kind.projection is not None:
            options = replace(options, fields=stored_fields(kind, options.fields))
            return await shown_page(kind, await self.list(kind.projection.of, namespace, user, options))
        page = await self._page(kind, namespace, options)
        return page if kind.versions is None else await shown_page(kind, page)

    async def _page(self, kind: Kind, namespace: str, options: ListOptions) -> Page:
        how, revision, after = listing.plan(options)
        if how == "not-older":
            await self._writer.fresh(revision)
        elif how == "exact" or (how == "continue" and revision > 0):
            await self._writer.fresh(revision)
            return await listing.from_history(self.store, kind, namespace, options, revision, after)
        return listing.from_table(self.table(kind), kind, namespace, options, self.cache.revision, after)

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        user: User,
        options: WatchOptions = WatchOptions(),
        *,
        deliver: Deliver | None = None,
    ) -> Watch:
        """Begin a watch; `deliver` as for `Cache.subscribe`. Raises BadRequest, Invalid, Expired, TimedOut."""
        listing.check_fields(kind, options.fields)
        return await begin_watch(self.cache, kind, namespace, options, self._writer.fresh, deliver)

    # Writing

    async def create(
        self,
        kind: Kind,
        namespace: str,
        document: Json,
        user: User,
        options: RequestOptions = _YES,
        *,
        name: str = "",
        applied: bool = False,
    ) -> Document:
        """`applied`: the document is the outcome of a server-side apply.

        Raises AlreadyExists, BadRequest, Forbidden, Invalid, MethodNotAllowed, NotFound (its namespace).
        """
        if kind.closed:
            raise MethodNotAllowed(kind.closed)
        received(kind, document)
        if kind.projection is not None:
            options = ownership.untracked(options)
        seen, kind = kind, stored_kind(kind)
        namespace = namespace_of(kind, namespace)
        sent = meta.of(document)
        generated = not sent.get("name") and not name and bool(sent.get("generateName"))
        held: Held = []
        try:
            document = await self._pipeline.new(
                kind, namespace, document, user, options, name, held=held, applied=applied
            )
            return await shown(seen, await self._keep(kind, namespace, document, options, generated=generated))
        finally:
            release(held)

    async def _keep(
        self, kind: Kind, namespace: str, document: Json, options: RequestOptions, *, generated: bool
    ) -> Document:
        """Write a new document, under another name should the generated one be taken. Raises AlreadyExists."""
        metadata = document["metadata"]
        for _ in range(_GENERATED_ATTEMPTS if generated else 1):
            key = Key(kind.resource, namespace, metadata["name"])
            taken = self.table(kind).get(key.name, namespace)
            if taken is None:
                try:
                    made = await kept(kind, document)
                    return await self._writer.create(kind, key, made, dry_run=options.dry_run)
                except RevisionConflict:
                    pass
            if generated:
                metadata["name"] = names.generate(metadata["generateName"])
        error = already_exists(kind.group, kind.plural, metadata["name"])
        if taken is not None and taken.meta.deletion_timestamp:
            error = AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
        raise error

    async def create_subresource(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        subresource: str,
        body: Json,
        user: User,
        options: RequestOptions = _YES,
    ) -> Json:
        """POST to pods/binding, pods/eviction and what `answer` was told of. Answers mostly a `metav1.Status`."""
        await self._pipeline.beside(kind, "CREATE", namespace, name, subresource, body, user, options)
        handler = self._handlers.get((kind.resource, subresource))
        if handler is not None:
            return await handler(self._writer.current(kind, namespace, name), body, user, options)
        if kind.resource == PODS and subresource == "binding":
            uid, node = binding.read(body)
            self._writer.current(kind, namespace, name)
            if not options.dry_run:
                [problem] = await self.bind([(namespace, name, uid, node)])
                if problem is not None:
                    raise problem
        elif kind.resource == PODS and subresource == "eviction":
            await self._evict(kind, namespace, name, body, user, options)
        else:
            raise NotFound(f"the server could not find the requested resource: {kind.plural}/{subresource}")
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    async def _evict(
        self, kind: Kind, namespace: str, name: str, body: Json, user: User, options: RequestOptions
    ) -> None:
        wanted = evicting.deletion_asked(body, options)
        pod = self._writer.current(kind, namespace, name)
        meta.check_preconditions(kind, pod, wanted.uid, wanted.resource_version)
        budgets = self.cache.table(BUDGETS)
        await evicting.permit(self._writer, budgets, pod, self.clock.now(), dry_run=wanted.dry_run)
        # The revision was what the caller knew; the pod may have been told since why it goes.
        await self.delete(kind, namespace, name, user, replace(wanted, uid=pod.meta.uid, resource_version=""))

    async def connecting(
        self, kind: Kind, namespace: str, name: str, subresource: str, body: Json, user: User
    ) -> Sequence[str]:
        """Ask admission about a connection to an object; what its author is to be told. Raises Forbidden and the like."""
        options = RequestOptions()
        await self._pipeline.beside(kind, "CONNECT", namespace, name, subresource, body, user, options)
        return options.warnings

    async def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        document: Json,
        user: User,
        options: RequestOptions = _YES,
        *,
        subresource: str = "",
    ) -> tuple[Document, bool]:
        """PUT: the document, and whether it was created. `subresource` is "", status, scale, finalize or an aspect.

        Without metadata.resourceVersion the last writer wins. Raises BadRequest, Conflict, Forbidden, Invalid, NotFound.
        """
        received(kind, document)
        if kind.projection is not None:
            options = ownership.untracked(options)
        seen, kind = kind, stored_kind(kind)
        _check_subresource(kind, subresource)
        namespace = namespace_of(kind, namespace)
        if kind.create_on_update and not subresource and self.table(kind).get(name, namespace) is None:
            meta.of(document).pop("resourceVersion", None)
            created = await self.create(kind, namespace, document, user, options, name=name)
            return await shown(seen, created), True
        # Deciding takes the document over, and without a resourceVersion may have to be done again.
        pinned = meta.of(document).get("resourceVersion") not in (None, "", "0")
        pristine = None if pinned else msgspec.json.encode(document)
        first: Json | None = document
        short = self._short_status(kind, subresource)
        held: Held = []

        async def decide(current: Document) -> Json | bytes | Fate:
            nonlocal first
            if short is not None:
                value = self._put_status(kind, current, first or {}, short, options)
                if value is not None:
                    return value
            if first is not None:
                sent, first = first, None
            elif pristine is not None:
                sent = msgspec.json.decode(pristine)
            else:
                raise conflict(kind.group, kind.plural, name)
            now = await shown(kind, current)
            return await self._replace(kind, current, now, now.decode(), sent, user, options, subresource, held=held)

        changed = await self._modified(kind, namespace, name, decide, held, dry_run=options.dry_run)
        return await self._shown(seen, changed, subresource), False

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        patch_type: PatchType,
        user: User,
        options: RequestOptions = _YES,
        *,
        subresource: str = "",
    ) -> tuple[Document, bool]:
        """PATCH: the document, and whether it was created (server-side apply). A patch of nothing writes nothing.

        Raises BadRequest, Conflict, Forbidden, Invalid, NotFound, UnsupportedMediaType.
        """
        if patch_type == PatchType.APPLY:
            return await self._apply(kind, namespace, name, patch, user, options, subresource)
        if kind.projection is not None:
            options = ownership.untracked(options)
        seen, kind = kind, stored_kind(kind)
        _check_subresource(kind, subresource)
        namespace = namespace_of(kind, namespace)
        short = self._short_status(kind, subresource)
        if short is not None and not (patch_type == PatchType.MERGE and shortcuts.only_status(patch)):
            short = None
        held: Held = []

        async def decide(current: Document) -> Json | bytes | Fate:
            if short is not None:
                parts, before = shortcuts.current_status(current)
                merged = merge_patch(before, patch["status"])
                value = self._with_status(kind, current, parts, before, merged, short, options)
                if value is not None:
                    return value
            now = await shown(kind, current)
            old = now.decode()
            target = scale.show(kind, old) if subresource == "scale" else now.decode()
            sent = patching.patched(seen, target, patch, patch_type, subresource)
            return await self._replace(kind, current, now, old, sent, user, options, subresource, held=held)

        changed = await self._modified(kind, namespace, name, decide, held, dry_run=options.dry_run)
        return await self._shown(seen, changed, subresource), False

    async def _apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Any,
        user: User,
        options: RequestOptions,
        subresource: str,
    ) -> tuple[Document, bool]:
        """Server-side apply: make it so, and own it. Raises Conflict naming the fields that others own."""
        config = ownership.configuration(kind, body, name, options, subresource)
        _check_subresource(kind, subresource)
        namespace = namespace_of(kind, namespace)
        held: Held = []

        async def decide(current: Document) -> Json | bytes | Fate:
            seen = await shown(kind, current)
            wanted = ownership.applied(kind, seen.decode(), config, options, self.clock.now(), subresource)
            return await self._replace(
                kind, current, seen, seen.decode(), wanted, user, options, subresource, held=held, applied=True
            )

        for _ in range(_GENERATED_ATTEMPTS):
            there = self.table(kind).get(name, namespace) is not None
            try:
                if there or subresource:
                    changed = await self._modified(kind, namespace, name, decide, held, dry_run=options.dry_run)
                    return await shown(kind, changed), False
                fresh = ownership.applied(kind, {}, config, options, self.clock.now())
                return await self.create(kind, namespace, fresh, user, options, name=name, applied=True), True
            except (AlreadyExists, NotFound):
                # Unless somebody else made it, or took it away, since we looked, that is the answer.
                if subresource or there == (self.table(kind).get(name, namespace) is not None):
                    raise
        raise conflict(kind.group, kind.plural, name)

    async def delete(
        self, kind: Kind, namespace: str, name: str, user: User, options: DeleteOptions = DeleteOptions()
    ) -> Deleted:
        """Raises BadRequest, Conflict (a precondition), Forbidden, NotFound."""
        seen, kind = kind, stored_kind(kind)
        namespace = namespace_of(kind, namespace)
        deletion.check(options)

        async def decide(current: Document) -> Json | bytes | Fate:
            meta.check_preconditions(kind, current, options.uid, options.resource_version)
            seen_now = current if kind.versions is None else await shown(kind, current)
            await self._pipeline.leaving(kind, seen_now, user, options)
            if deletion.at_once(kind, current, options):
                return GONE
            if kind.resource != PODS:
                return deletion.decide(kind, current.decode(), options, self.clock.now())
            parts, pod = shortcuts.leaving_pod(current)
            outcome = deletion.decide(kind, pod, options, self.clock.now())
            return outcome if isinstance(outcome, Fate) else shortcuts.with_metadata(parts, outcome["metadata"])

        document, gone = await self._writer.modify(kind, namespace, name, decide, dry_run=options.dry_run)
        if gone and kind.resource not in _RETURNED:
            return Deleted(True, None, _success(seen, document))
        return Deleted(gone, await shown(seen, document))

    async def delete_collection(
        self,
        kind: Kind,
        namespace: str,
        user: User,
        options: DeleteOptions = DeleteOptions(),
        which: ListOptions = ListOptions(),
    ) -> Page:
        """Delete everything selected; the page is what was found. Objects that vanish meanwhile are no error."""
        page = await self.list(kind, namespace, user, which)

        async def one(document: Document) -> None:
            try:
                await self.delete(kind, document.namespace, document.name, user, options)
            except NotFound:
                return

        await asyncio.gather(*(one(document) for document in page.documents))
        return page

    async def bind(self, bindings: Sequence[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        """(namespace, pod, uid or "", node) each. Independent writes in one group commit; one answer each."""
        answers: list[Exception | None] = [None] * len(bindings)
        if self._pipeline.asks("CREATE", PODS, "binding"):
            answers = [await self._ask_about_binding(*each) for each in bindings]
        pending: list[tuple[int, asyncio.Future[int]]] = []
        pods = self.cache.table(PODS)
        now = self.clock.now()
        for index, (namespace, name, uid, node) in enumerate(bindings):
            if answers[index] is not None:
                continue
            pod = pods.get(name, namespace)
            if pod is None:
                answers[index] = not_found("", "pods", name)
                continue
            try:
                value = binding.bound(pod, uid, node, now)
            except ApiError as error:
                answers[index] = error
                continue
            pending.append((index, self.store.submit((Change(str(pod.key), value, pod.revision),))))
        last = 0
        for index, written in pending:
            try:
                last = max(last, await written)
            except RevisionConflict:
                answers[index] = conflict("", "pods/binding", bindings[index][1])
            except StoreError as error:
                answers[index] = failed(error)
        if last:
            await self.cache.reached(last)
        return answers

    async def _ask_about_binding(self, namespace: str, name: str, uid: str, node: str) -> Exception | None:
        """Why admission does not let a pod be bound, if it does not."""
        kind = self.catalogue.by_path("", "v1", "pods")
        assert kind is not None
        body = binding.document(namespace, name, uid, node)
        try:
            await self._pipeline.beside(kind, "CREATE", namespace, name, "binding", body, CONTROLLERS, _YES)
        except ApiError as error:
            return error
        return None

    # The way of every change

    def _short_status(self, kind: Kind, subresource: str) -> Gate | None:
        return shortcuts.status_gate(kind) if subresource == "status" and self._pipeline.plain_status(kind) else None

    def _with_status(
        self,
        kind: Kind,
        current: Document,
        parts: dict[str, msgspec.Raw],
        old: Json,
        new: Json,
        check: Gate,
        options: RequestOptions,
    ) -> bytes | Fate | None:
        """The value with another status, entered in the books if it has any; None when it takes the long way."""
        if new != old and ownership.tracked(kind, options) and ownership.kept(current):
            parts["metadata"] = ownership.of_status(kind, parts["metadata"], old, new, options, self.clock.now())
        return shortcuts.with_status(parts, old, new, check)

    def _put_status(
        self, kind: Kind, current: Document, sent: Json, check: Gate, options: RequestOptions
    ) -> bytes | Fate | None:
        """A PUT of status by the short way; None when it takes the long one, which also finds what is wrong with it."""
        metadata, status = sent.get("metadata"), sent.get("status")
        if not isinstance(metadata, dict) or not isinstance(status, dict):
            return None
        same = (
            sent.get("kind") in (None, kind.kind)
            and metadata.get("uid") in (None, current.meta.uid)
            and metadata.get("name") in (None, current.name)
            and metadata.get("namespace") in (None, current.namespace)
            and metadata.get("resourceVersion") in (None, "", str(current.revision))
            and (metadata.get("labels") or None) == (current.meta.labels or None)
            and (metadata.get("annotations") or None) == (current.meta.annotations or None)
        )
        if not same:
            return None
        parts, before = shortcuts.current_status(current)
        return self._with_status(kind, current, parts, before, status, check, options)

    async def _modified(
        self, kind: Kind, namespace: str, name: str, decide: Decide, held: Held, *, dry_run: bool
    ) -> Document:
        """`Writer.modify`, and what was set aside for the write let go of."""
        try:
            changed, _ = await self._writer.modify(kind, namespace, name, decide, dry_run=dry_run)
            return changed
        finally:
            release(held)

    async def _replace(
        self,
        kind: Kind,
        stored: Document,
        current: Document,
        old: Json,
        sent: Json,
        user: User,
        options: RequestOptions,
        subresource: str,
        *,
        held: Held,
        applied: bool = False,
    ) -> Json | Fate:
        """What an update (or a patch's outcome) makes of the current document, which is `stored` in the kind's version."""
        release(held)  # An attempt before this one may have lost its race.
        if subresource == "scale":
            revision = meta.of(sent).get("resourceVersion") or ""
            sent = scale.written(kind, current.decode(), sent)
            sent["metadata"]["resourceVersion"] = revision
        elif subresource == "finalize":
            revision = meta.of(sent).get("resourceVersion") or ""
            spec = sent.get("spec")
            finalizers = spec.get("finalizers") if isinstance(spec, dict) else None
            sent = current.decode()
            sent["metadata"]["resourceVersion"] = revision
            sent["spec"] = {**(sent.get("spec") or {}), "finalizers": finalizers or []}
        document = await self._pipeline.changed(
            kind, current, old, sent, user, options, subresource, held=held, applied=applied
        )
        if document == old and kind.versions is None:
            return UNCHANGED
        if deletion.finished(kind, document):
            return GONE
        made = await kept(kind, document)
        # One that is shown otherwise than it is stored is written anew: that is how objects get into another version.
        return UNCHANGED if kind.versions is not None and made == stored.decode() else made

    async def _shown(self, kind: Kind, document: Document, subresource: str) -> Document:
        found = await shown(kind, document)
        return scale.as_document(kind, found) if subresource == "scale" else found


def _check_subresource(kind: Kind, subresource: str) -> None:
    """Whether the kind has such a view of its documents. Raises NotFound."""
    if not subresource:
        return
    has = {
        "status": kind.status,
        "scale": kind.scale is not None,
        "finalize": "finalize" in kind.subresources,
    }
    if not has.get(subresource, False) and subresource not in kind.aspects:
        raise NotFound(f"the server could not find the requested resource: {kind.plural}/{subresource}")


def _success(kind: Kind, document: Document) -> Json:
    details = {"name": document.name, "kind": kind.plural, "uid": document.meta.uid}
    if kind.group:
        details["group"] = kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
