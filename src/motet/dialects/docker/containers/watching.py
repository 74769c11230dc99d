"""Waiting for something to become true of a few objects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from motet.base.errors import ApiError, Unavailable
from motet.client.mirror import document_of
from motet.dialects.docker.call import Call
from motet.kinds.kind import Kind
from motet.store.document import Document

T = TypeVar("T")

# A watch that was broken off is begun again after this many seconds.
_PAUSE = 0.2
_OF_OBJECTS = frozenset({"ADDED", "MODIFIED", "DELETED"})


async def until(call: Call, kind: Kind, query: dict[str, str], decide: Callable[[Sequence[Document]], T | None]) -> T:
    """What `decide` says of the objects that `query` selects, as soon as that is something.

    It is asked about what there is, and again after every change. Raises ApiError.
    """
    namespace = call.engine.namespace
    while True:
        known: dict[str, Document] = {}
        version = "0"
        async for page in call.client.pages(kind, namespace, dict(query)):
            version = page.metadata.resource_version
            known.update((each.meta.uid, each) for each in (document_of(kind, bytes(raw)) for raw in page.items))
        if (found := decide(list(known.values()))) is not None:
            return found
        # A watch ends now and then, and an old version may be forgotten: what there is now tells all the same.
        with contextlib.suppress(Unavailable, ApiError, TimeoutError):
            watch = {**query, "watch": "true", "resourceVersion": version}
            async for line in call.client.lines(kind, namespace, watch):
                if line.type not in _OF_OBJECTS:
                    continue
                document = document_of(kind, bytes(line.object))
                if line.type == "DELETED":
                    known.pop(document.meta.uid, None)
                else:
                    known[document.meta.uid] = document
                if (found := decide(list(known.values()))) is not None:
                    return found
        await call.engine.clock.sleep(_PAUSE)
