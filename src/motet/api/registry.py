"""The verbs of the Kubernetes API over store, cache and catalogue.

The HTTP edge and the in-process client both end here. Reading is here; each kind of write has a module of its own
(`creating`, `changing`, `removing`, `binder`, `posting`). A write goes through the `pipeline`, is encoded once, submitted,
and answered when the cache has it; a read is answered from the cache's tables. Writes are compare-and-swap: who loses a
race decides again on the newer document, unless the request itself pinned a resourceVersion.
All methods raise `motet.base.errors.ApiError` subclasses. Documents given to `create` and `update` are taken over.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from motet.api import listing
from motet.api.admission import BUILT_IN, Chain
from motet.api.allocate import ServiceNumbers
from motet.api.binder import Binder
from motet.api.changing import Changer
from motet.api.creating import Creator
from motet.api.listing import Page
from motet.api.options import DeleteOptions, ListOptions, WatchOptions
from motet.api.pipeline import Pipeline, namespace_of
from motet.api.posting import Subresources
from motet.api.projecting import shown_page, stored_fields, stored_kind
from motet.api.removing import Remover
from motet.api.users import User
from motet.api.views import check_subresource, view
from motet.api.watching import Watch, begin_watch
from motet.api.writing import Writer
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind
from motet.store.cache import Cache, Resource
from motet.store.document import Document
from motet.store.engine import Store
from motet.store.subscription import Deliver
from motet.store.table import Table


def resources(catalogue: Catalogue) -> list[Resource]:
    """What the cache has to keep for a registry to serve a catalogue."""
    return [
        Resource(kind.resource, fields=kind.fields, indexed_fields=kind.indexed_fields)
        for kind in catalogue
        if kind.projection is None
    ]


class Registry:
    """One per manager. The cache must be started before the first call.

    `create`, `update`, `patch`, `delete`, `bind`, `create_subresource` and `connecting` are those of the modules named above.
    """

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
        pipeline = Pipeline(admission or Chain(BUILT_IN), cache.table, clock)
        self._writer = writer = Writer(store, cache, numbers)
        creator, remover = Creator(pipeline, writer), Remover(pipeline, writer, clock)
        changer = Changer(creator, pipeline, writer, clock)
        binder = Binder(store, cache, catalogue, pipeline, clock)
        beside = Subresources(cache, pipeline, writer, binder, remover, clock)
        self.create = creator.create
        self.update, self.patch = changer.update, changer.patch
        self.delete = remover.delete
        self.bind = binder.bind
        self.answer, self.create_subresource, self.connecting = beside.answer, beside.post, beside.connecting

    # Reading

    def table(self, kind: Kind) -> Table:
        """The live table of a kind, as of the last write the cache has applied. Raises NotFound for a kind that went."""
        return self._writer.table(kind)

    async def get(
        self, kind: Kind, namespace: str, name: str, user: User, *, resource_version: str = "", subresource: str = ""
    ) -> Document:
        """`subresource` is "", status, finalize, an aspect, or scale (then the document is an autoscaling/v1 Scale)."""
        seen, kind = kind, stored_kind(kind)
        check_subresource(kind, subresource)
        if resource_version:
            await self._writer.fresh(listing.read_revision(resource_version))
        found = self._writer.current(kind, namespace_of(kind, namespace), name)
        return await view(seen, found, subresource)

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

    # Deleting what a list finds

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
