"""Bindings, many at once: independent writes in one group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from motet.api import binding
from motet.api.options import ASKING_NOTHING
from motet.api.pipeline import Pipeline
from motet.api.users import CONTROLLERS
from motet.api.writing import failed
from motet.base.clock import Clock
from motet.base.errors import ApiError, conflict, not_found
from motet.kinds.catalogue import Catalogue
from motet.store.cache import Cache
from motet.store.engine import Change, RevisionConflict, Store, StoreError

PODS: Final = "core/pods"


class Binder:
    """One per registry."""

    def __init__(self, store: Store, cache: Cache, catalogue: Catalogue, pipeline: Pipeline, clock: Clock) -> None:
        self._store = store
        self._cache = cache
        self._catalogue = catalogue
        self._pipeline = pipeline
        self._clock = clock

    async def bind(self, bindings: Sequence[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        """(namespace, pod, uid or "", node) each. Independent writes in one group commit; one answer each."""
        answers: list[Exception | None] = [None] * len(bindings)
        if self._pipeline.asks("CREATE", PODS, "binding"):
            answers = [await self._ask_about_binding(*each) for each in bindings]
        pending: list[tuple[int, asyncio.Future[int]]] = []
        pods = self._cache.table(PODS)
        now = self._clock.now()
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
            pending.append((index, self._store.submit((Change(str(pod.key), value, pod.revision),))))
        last = 0
        for index, written in pending:
            try:
                last = max(last, await written)
            except RevisionConflict:
                answers[index] = conflict("", "pods/binding", bindings[index][1])
            except StoreError as error:
                answers[index] = failed(error)
        if last:
            await self._cache.reached(last)
        return answers

    async def _ask_about_binding(self, namespace: str, name: str, uid: str, node: str) -> Exception | None:
        """Why admission does not let a pod be bound, if it does not."""
        kind = self._catalogue.by_path("", "v1", "pods")
        assert kind is not None
        body = binding.document(namespace, name, uid, node)
        try:
            await self._pipeline.beside(kind, "CREATE", namespace, name, "binding", body, CONTROLLERS, ASKING_NOTHING)
        except ApiError as error:
            return error
        return None
