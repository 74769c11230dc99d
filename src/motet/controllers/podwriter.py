"""Making and deleting an owner's pods, many at a time, with the events that tell of it.

Creation starts slowly (client-go's "slow start"): one pod, then twice as many each time, so that what cannot be made fails once and
not a thousand times.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from motet.base.errors import ApiError, NotFound, namespace_terminates
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers.podview import PodView
from motet.kinds import pod as pod_kind
from motet.kinds.kind import Kind
from motet.store.document import Document

_LARGEST_BATCH = 256


class PodWriter:
    """Writes the pods of owners of `kind`."""

    def __init__(self, client: Client, events: EventRecorder, kind: Kind) -> None:
        self._client = client
        self._events = events
        self._kind = kind

    async def create(
        self, owner: Document, pods: Iterable[dict[str, Any]], *, wanted: Callable[[], bool] = lambda: True
    ) -> str:
        """Make `pods` as long as they are `wanted`; the reason and message of the first failure, or an empty string.

        Raises Forbidden, and tells nobody, when their namespace is being deleted.
        """
        waiting = iter(pods)
        size = 1
        while batch := list(itertools.islice(waiting, size)):
            writes = (self._client.create(pod_kind.KIND, pod, owner.namespace) for pod in batch)
            answers = await asyncio.gather(*writes, return_exceptions=True)
            if failure := self._tell(owner, answers, "Create", "Created"):
                return failure
            size = min(size * 2, _LARGEST_BATCH)
            if not wanted():
                break
        return ""

    async def delete(self, owner: Document, pods: Sequence[PodView]) -> str:
        """Delete `pods`; the reason and message of the first failure, or an empty string."""
        for start in range(0, len(pods), _LARGEST_BATCH):
            batch = pods[start : start + _LARGEST_BATCH]
            answers = await asyncio.gather(*(self._delete_one(pod) for pod in batch), return_exceptions=True)
            if failure := self._tell(owner, answers, "Delete", "Deleted"):
                return failure
        return ""

    async def _delete_one(self, pod: PodView) -> PodView:
        meta = pod.metadata
        with contextlib.suppress(NotFound):
            await self._client.delete(pod_kind.KIND, meta.name, meta.namespace, uid=meta.uid)
        return pod

    def _tell(
        self, owner: Document, answers: Sequence[Document | PodView | BaseException], verb: str, done: str
    ) -> str:
        about = About.document(owner, self._kind.api_version, self._kind.kind)
        failure = ""
        for answer in answers:
            if isinstance(answer, ApiError) and not namespace_terminates(answer):
                message = f"Error {verb.lower().rstrip('e')}ing: {answer.message}"
                self._events.event(about, WARNING, f"Failed{verb}", message)
                failure = failure or f"Failed{verb}: {answer.message}"
            elif isinstance(answer, BaseException):
                raise answer
            else:
                name = answer.metadata.name if isinstance(answer, PodView) else answer.name
                self._events.event(about, NORMAL, f"Successful{verb}", f"{done} pod: {name}")
        return failure
