"""Telling what is used of each quota: its status, from the book that admission goes by."""

from __future__ import annotations

import contextlib

from motet.api.quota.book import Ledger, QuotaBook
from motet.api.quota.measure import shown
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.kinds import resourcequota as quota_kind
from motet.store.table import Table

# A namespace in which much happens is told about so often.
_PACE = 0.2


def status(ledger: Ledger, hard: dict[str, object]) -> dict[str, dict[str, object]]:
    """What a quota's status says: the limits as they were written, and what is used."""
    used: dict[str, object] = {name: shown(name, ledger.used[name]) for name in hard if name in ledger.used}
    return {"hard": dict(hard), "used": used}


class ResourceQuotas:
    """The loop. Keys are quotas."""

    def __init__(self, client: Client, clock: Clock, book: QuotaBook) -> None:
        self._client = client
        self._clock = clock
        self._book = book
        self._quotas: Table

    async def run(self) -> None:
        """Keep telling until cancelled."""
        self._quotas = await self._client.table(quota_kind.KIND)
        loop: Controller[ObjectKey] = Controller("resourcequota", self.reconcile, clock=self._clock, pace=_PACE)
        loop.watch(self._quotas, own_key)
        unlisten = self._book.listen(lambda namespace, name: loop.enqueue((namespace, name)))
        try:
            await loop.run()
        finally:
            unlisten()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """Write what is used; seconds until a pod stops counting by itself."""
        namespace, name = key
        quota = self._quotas.get(name, namespace)
        ledger = self._book.ledger(namespace, name)
        if quota is None or ledger is None:
            return None
        changed = quota.decode()
        wanted = status(ledger, (changed.get("spec") or {}).get("hard") or {})
        if changed.get("status") != wanted:
            with contextlib.suppress(NotFound):
                await self._client.update(quota_kind.KIND, {**changed, "status": wanted}, subresource="status")
        leaving = self._book.next_leaving(ledger)
        return max(0.0, (leaving - self._clock.now()).total_seconds()) + 0.1 if leaving is not None else None
