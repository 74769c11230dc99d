"""Pod garbage: pods of nodes that are no more, pods deleted before they had a node, and too many finished ones.

Nobody else can end these: the agent that would is gone or never was. Follows upstream's pod garbage collector, its quarantine for
pods of vanished nodes included (a node may be on its way back).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.disruption import mark_disrupted
from motet.controllers.loop import Controller
from motet.controllers.nodes import NodeView
from motet.controllers.podview import PodView
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document
from motet.store.table import Table

_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_EVERY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class PodGcConfig:
    """`quarantine_seconds` a vanished node may take to come back; `finished_limit` finished pods are kept."""

    quarantine_seconds: float = 40.0
    finished_limit: int = 12_500


def surplus(finished: Sequence[PodView], limit: int) -> list[PodView]:
    """The oldest finished pods beyond `limit`."""
    by_age = sorted(finished, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name))
    return by_age[: max(0, len(by_age) - limit)]


class PodGarbage:
    """A single sweep, repeated, and at once when a node goes."""

    def __init__(self, client: Client, clock: Clock, config: PodGcConfig = PodGcConfig()) -> None:
        self._client = client
        self._clock = clock
        self._config = config
        self._nodes: Table
        self._pods: Table
        self._vanished: dict[str, float] = {}  # node -> when it was first missed

    async def run(self) -> None:
        """Sweep until cancelled."""
        self._nodes = await self._client.table(node_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[str] = Controller("pod-gc", self.reconcile, clock=self._clock, pace=1.0)
        loop.watch(self._nodes, lambda old, new: ("sweep",) if new is None else ())
        loop.watch(self._pods, _unassigned_leaving)
        loop.enqueue("sweep")
        await loop.run()

    async def reconcile(self, _: str) -> float:
        """One sweep."""
        finished: list[PodView] = []
        todo: list[tuple[Document, str, str]] = []
        now = self._clock.monotonic()
        missing: set[str] = set()
        waits = [_EVERY_SECONDS]
        for pod in self._pods:
            view = pod.view(PodView)
            node = view.spec.node_name
            if podview.is_finished(view) and pod.meta.deletion_timestamp is None:
                finished.append(view)
            if not node:
                if pod.meta.deletion_timestamp is not None:
                    todo.append((pod, "", ""))
            elif (found := self._nodes.get(node)) is None:
                missing.add(node)
                left = self._vanished.setdefault(node, now) + self._config.quarantine_seconds - now
                if left <= 0:
                    todo.append((pod, "DeletionByPodGC", "PodGC: node no longer exists"))
                else:
                    waits.append(left)
            elif pod.meta.deletion_timestamp is not None and _out_of_service(found):
                todo.append((pod, "DeletionByPodGC", "PodGC: node has been taken out of service"))
        self._vanished = {node: since for node, since in self._vanished.items() if node in missing}
        await asyncio.gather(*(self._remove(pod, reason, message) for pod, reason, message in todo))
        for old in surplus(finished, self._config.finished_limit):
            await self._delete(old.metadata.name, old.metadata.namespace, old.metadata.uid)
        return min(waits)

    async def _remove(self, pod: Document, reason: str, message: str) -> None:
        with contextlib.suppress(NotFound):
            if reason:
                phase = "" if podview.is_finished(pod.view(PodView)) else "Failed"
                await mark_disrupted(self._client, pod, reason, message, self._clock.now(), phase=phase)
            await self._delete(pod.name, pod.namespace, pod.meta.uid)

    async def _delete(self, name: str, namespace: str, uid: str) -> None:
        with contextlib.suppress(NotFound):
            await self._client.delete(pod_kind.KIND, name, namespace, uid=uid, grace_seconds=0)


def _out_of_service(node: Document) -> bool:
    view = node.view(NodeView)
    return view.ready() != "True" and any(taint.key == _OUT_OF_SERVICE for taint in view.spec.taints or ())


def _unassigned_leaving(old: Document | None, new: Document | None) -> Iterable[str]:
    if new is not None and new.meta.deletion_timestamp is not None and not new.view(PodView).spec.node_name:
        yield "sweep"
