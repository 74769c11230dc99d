"""Room that others are making for a pod: nobody of the same or a lower priority may take it meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from motet.scheduler.classes import PodClass
from motet.scheduler.snapshot import Snapshot
from motet.scheduler.views import PodView
from motet.store.document import Document


@dataclass(slots=True)
class Pending:
    """A pod that waits for a node. `order` is that of arrival."""

    pod: Document
    pod_class: PodClass
    order: int
    # Refused as things stood; waits for something to change.
    refused: bool = False

    @property
    def nominated(self) -> str:
        """The node that others are leaving for it, or an empty string."""
        return self.pod.view(PodView).status.nominated_node_name


class Reservations:
    """For one turn: while a group is placed, nominated pods of other groups count on their nodes as if they were there.

    Groups must come highest priority first. At the end nothing of it is left in the snapshot.
    """

    def __init__(self, snapshot: Snapshot, waiting: Iterable[Pending]) -> None:
        self._snapshot = snapshot
        nominated = (each for each in waiting if each.nominated)
        self._ahead = sorted(nominated, key=lambda each: (-each.pod_class.priority, each.order), reverse=True)
        self._held: dict[str, tuple[str, PodClass]] = {}

    def __enter__(self) -> Reservations:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for uid in list(self._held):
            self._release(uid)

    def hold_for_those_before(self, priority: int) -> None:
        """Count every nominated pod of at least this priority."""
        while self._ahead and self._ahead[-1].pod_class.priority >= priority:
            waiting = self._ahead.pop()
            self.hold(waiting, waiting.nominated)

    def hold(self, waiting: Pending, node: str) -> None:
        """Count a pod that waits on a node."""
        uid = waiting.pod.meta.uid
        self._release(uid)
        self._held[uid] = (node, waiting.pod_class)
        self._snapshot.add(node, waiting.pod_class)

    def claim(self, group: Sequence[Pending]) -> list[Pending]:
        """Those of a group that have something held for them, which no longer is."""
        return [waiting for waiting in group if self._release(waiting.pod.meta.uid)]

    def _release(self, uid: str) -> bool:
        held = self._held.pop(uid, None)
        if held is not None:
            self._snapshot.remove(*held)
        return held is not None
