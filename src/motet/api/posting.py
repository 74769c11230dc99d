"""What is POSTed beside an object, and connections to it: bindings, evictions, and whatever the registry was told how to answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from motet.api import binding, evicting, meta
from motet.api.binder import Binder
from motet.api.options import ASKING_NOTHING, RequestOptions
from motet.api.pipeline import Pipeline
from motet.api.removing import Remover
from motet.api.users import User
from motet.api.writing import Writer
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.kinds.kind import Json, Kind
from motet.store.cache import Cache
from motet.store.document import Document

PODS: Final = "core/pods"
BUDGETS: Final = "policy/poddisruptionbudgets"
# What stands behind a subresource that is POSTed to: from the object, the body and who asks to the answer.
Handler = Callable[[Document, Json, User, RequestOptions], Awaitable[Json]]


class Subresources:
    """One per registry."""

    def __init__(
        self, cache: Cache, pipeline: Pipeline, writer: Writer, binder: Binder, remover: Remover, clock: Clock
    ) -> None:
        self._cache = cache
        self._pipeline = pipeline
        self._writer = writer
        self._binder = binder
        self._remover = remover
        self._clock = clock
        self._handlers: dict[tuple[str, str], Handler] = {}

    def answer(self, kind: Kind, subresource: str, handler: Handler) -> None:
        """Have `handler` answer what is POSTed to a subresource."""
        self._handlers[kind.resource, subresource] = handler

    async def post(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        subresource: str,
        body: Json,
        user: User,
        options: RequestOptions = ASKING_NOTHING,
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
                [problem] = await self._binder.bind([(namespace, name, uid, node)])
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
        budgets = self._cache.table(BUDGETS)
        await evicting.permit(self._writer, budgets, pod, self._clock.now(), dry_run=wanted.dry_run)
        # The revision was what the caller knew; the pod may have been told since why it goes.
        await self._remover.delete(kind, namespace, name, user, replace(wanted, uid=pod.meta.uid, resource_version=""))

    async def connecting(
        self, kind: Kind, namespace: str, name: str, subresource: str, body: Json, user: User
    ) -> Sequence[str]:
        """Ask admission about a connection to an object; what its author is to be told. Raises Forbidden and the like."""
        options = RequestOptions()
        await self._pipeline.beside(kind, "CONNECT", namespace, name, subresource, body, user, options)
        return options.warnings
