"""The beginning of a watch: what is sent first, and from which revision events follow.

Kubernetes API concepts, "Efficient detection of changes" and "Streaming lists": an empty or zero resourceVersion (or
`sendInitialEvents`) begins with the current state as ADDED events; any other begins right after that revision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from motet.api import listing, projecting
from motet.api.options import WatchOptions
from motet.base.errors import Expired, FieldError, Invalid, forbidden
from motet.kinds.kind import Kind
from motet.store.cache import Cache, WatchEvent
from motet.store.document import Document
from motet.store.engine import Compacted
from motet.store.subscription import Deliver


class Events(Protocol):
    """What of a `Subscription` a watch needs."""

    @property
    def revision(self) -> int: ...

    def close(self) -> None: ...

    async def catch_up(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]: ...

    async def __anext__(self) -> Sequence[WatchEvent]: ...


@dataclass(slots=True)
class Watch:
    """A watch begun. Send `initial` as ADDED events, then (when `bookmark_initial`) a BOOKMARK at `revision` annotated
    `k8s.io/initial-events-end: "true"`, then the batches of `events`, which raises store errors. Close it when done."""

    initial: Sequence[Document]
    revision: int
    bookmark_initial: bool
    events: Events


async def begin_watch(
    cache: Cache,
    kind: Kind,
    namespace: str,
    options: WatchOptions,
    fresh: Callable[[int], Awaitable[None]],
    deliver: Deliver | None = None,
) -> Watch:
    """Subscribe. `fresh` waits for a revision; `deliver` as for `Cache.subscribe`. Raises BadRequest, Invalid, Expired."""
    asked = _check(options)
    fields = projecting.stored_fields(kind, options.fields)
    if deliver is not None and not projecting.as_stored(kind):
        deliver = projecting.shown_delivery(kind, deliver)
    wants_state = options.send_initial_events
    if wants_state is None:
        wants_state = not asked
    if wants_state or asked > cache.revision:
        await fresh(asked)
    # From here to the subscription nothing may wait, or changes could fall in between.
    revision = cache.revision if wants_state or not asked else asked
    initial = cache.table(kind.resource).select(namespace, options.labels, fields) if wants_state else []
    try:
        events = cache.subscribe(
            kind.resource,
            after=revision,
            namespace=namespace,
            labels=options.labels,
            fields=fields,
            deliver=deliver,
        )
    except Compacted as error:
        raise _too_old(error) from error
    bookmark = bool(options.send_initial_events)
    if projecting.as_stored(kind):
        return Watch(initial, revision, bookmark, events)
    try:
        shown = await projecting.shown_all(kind, initial)
    except BaseException:
        events.close()
        raise
    return Watch(shown, revision, bookmark, projecting.ShownEvents(kind, events))


def _check(options: WatchOptions) -> int:
    match, streaming = options.resource_version_match, options.send_initial_events
    problem: FieldError | None = None
    if streaming is None and match:
        problem = forbidden(
            "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
    elif streaming is not None and match != "NotOlderThan":
        problem = forbidden(
            "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if problem is not None:
        raise Invalid(f'ListOptions.meta.k8s.io "" is invalid: {problem.message()}')
    return listing.read_revision(options.resource_version)


def _too_old(error: Compacted) -> Expired:
    return Expired(f"too old resource version: {error.asked} ({error.oldest})")
