"""Reading and writing the ControllerRevisions of one kind's objects, as `revisions` decides."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from motet.base.errors import Forbidden, NotFound
from motet.base.selectors import Selector
from motet.client.interface import Client
from motet.controllers import ownership, revisions
from motet.controllers.loop import TryAgain
from motet.controllers.revisions import History, RevisionView
from motet.kinds import controllerrevision
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

_KIND = controllerrevision.KIND


class RevisionStore:
    """The revisions of owners of `kind`; each carries its hash under `hash_label`."""

    def __init__(self, client: Client, kind: Kind, hash_label: str) -> None:
        self._client = client
        self._kind = kind
        self._hash_label = hash_label
        self.table: Table

    async def open(self) -> None:
        """To be awaited before anything else."""
        self.table = await self._client.table(_KIND)

    def decide(self, owner: Document, template: Mapping[str, Any], collisions: int) -> History:
        """The history of `owner`, which has `template` now."""
        mine = [each.view(RevisionView) for each in self.table.owned_by(owner.meta.uid)]
        names = {each.metadata.name for each in mine}
        return revisions.decide(
            owner.meta,
            ownership.reference(owner, self._kind),
            template,
            mine,
            hash_label=self._hash_label,
            collisions=collisions,
            taken=lambda name: name not in names and self.table.get(name, owner.namespace) is not None,
        )

    async def adopt(self, owner: Document, selector: Selector) -> None:
        """Take the revisions that an orphaning deletion of a namesake left, so that its pods need not restart."""
        found = [each.view(RevisionView) for each in self.table.select(owner.namespace, selector)]
        claims = ownership.claim(owner.meta, selector, found)
        await ownership.settle(self._client, _KIND, owner, self._kind, replace(claims, release=()))

    async def settle(self, owner: Document, history: History) -> None:
        """Make the current revision, or give it its new number. Raises AlreadyExists, Conflict, TryAgain."""
        if history.create is not None:
            try:
                await self._client.create(_KIND, history.create, owner.namespace)
            except Forbidden as error:  # the namespace is being emptied, for instance
                raise TryAgain(error.message) from error
        elif history.current is not None and history.renumber is not None:
            meta = history.current.metadata
            patch = {"metadata": {"resourceVersion": meta.resource_version}, "revision": history.renumber}
            await self._client.patch(_KIND, meta.name, patch, meta.namespace)

    async def clean(
        self, history: History, limit: int, live: Collection[str], hash_of: Callable[[RevisionView], str]
    ) -> None:
        """Delete the older revisions that there is no more room for and that no pod is of."""
        for each in revisions.surplus(history.older, limit, live, hash_of):
            meta = each.metadata
            with contextlib.suppress(NotFound):
                await self._client.delete(_KIND, meta.name, meta.namespace, uid=meta.uid)
