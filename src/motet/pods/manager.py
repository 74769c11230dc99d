"""All pods of one node: a worker for each that the API gives this node or the runtime still has.

What the runtime has and the API does not (after a list that succeeded) is stopped and removed. Everything else the
manager does is level-triggered waking: on a change of the pod, on an event of the runtime, on a gap in either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator

from motet.base.selectors import FieldSelector, FieldTerm
from motet.base.supervise import forever
from motet.base.timestamps import format_time
from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.kinds import podmarks
from motet.kinds.podspec.mirror import MIRROR
from motet.pods import logs, resources
from motet.pods.admission import Neighbours, host_ports
from motet.pods.config import PodsConfig
from motet.pods.execute import Tools, pod_ips
from motet.pods.model import NODE, Observed
from motet.pods.observe import RuntimeView
from motet.pods.publish import StatusWriter
from motet.pods.resizing import Room
from motet.pods.spec import Pod, PodSpec, quiet
from motet.pods.worker import Worker
from motet.runtime.interface import EventKind, RuntimeFailure
from motet.store.document import Document, Meta, encode
from motet.store.table import Table

_log = logging.getLogger("motet.pods")

_TIDY_EVERY = 60.0
_ROTATE_EVERY = 10.0
_AFTER_CRASH = 5.0


class Manager:
    """The pods of one node."""

    def __init__(self, client: Client, tools: Tools) -> None:
        self._client = client
        self._tools = tools
        self.view = RuntimeView(tools.runtime)
        self._statuses = StatusWriter(client, tools.clock)
        self._starts = asyncio.Semaphore(tools.config.starts_at_once)
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._static: dict[str, Document] = {}
        # Whence the pods that the node runs of its own accord; asked before anything is taken for an orphan.
        self.static_source: Callable[[], list[Document]] = list
        self._table: Table | None = None
        # Conditions of the node that hold just now (MemoryPressure, ...).
        self.pressures: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look after the pods until cancelled, which leaves them as they are."""
        clock = self._tools.clock
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(forever("pod status writer", self._statuses.run, log=_log, clock=clock))
            group.create_task(forever("runtime events", self._events, log=_log, clock=clock))
            self.run_static(self.static_source())
            node = self._tools.config.place.node_name
            mine = FieldSelector((FieldTerm("spec.nodeName", node),))
            table = self._table = await self._client.table(pod_kind.KIND, fields=mine)
            unlisten = table.listen(self._changed)
            try:
                for document in table:
                    self._look_after(document)
                for name, run in (
                    ("tidying", self._tidy),
                    ("log rotation", self._rotate),
                ):
                    group.create_task(forever(name, run, log=_log, clock=clock))
                await asyncio.Event().wait()
            finally:
                unlisten()

    # --- for the node's own server ------------------------------------------------------------------------------------

    def pod(self, namespace: str, name: str) -> Pod | None:
        """The pod of that name that this node looks after."""
        return next(
            (pod for pod in self.pods() if (pod.metadata.namespace, pod.metadata.name) == (namespace, name)), None
        )

    def pods(self) -> Iterator[Pod]:
        return (worker.pod for worker in self._workers.values())

    def documents(self) -> list[Document]:
        """What the API says of this node's pods."""
        return list(self._table) if self._table is not None else []

    async def observed(self, pod: Pod) -> Observed:
        """What the runtime has of a pod. Raises RuntimeFailure."""
        return await self.view.pod(pod.metadata.uid)

    def evict(self, uid: str, message: str, grace: int) -> None:
        """End a pod for good, within `grace` seconds."""
        if (worker := self._workers.get(uid)) is not None:
            worker.evict(message, grace)

    def outdated(self, kind: str, namespace: str, name: str) -> None:
        """A `configmaps` or `secrets` has changed: pods that show it are to show it as it is."""
        for worker in self._workers.values():
            if worker.pod.metadata.namespace == namespace:
                worker.outdated(kind, name)

    @property
    def config(self) -> PodsConfig:
        return self._tools.config

    def has_ended(self, uid: str) -> bool:
        """Whether this is a pod of ours that will do nothing any more."""
        worker = self._workers.get(uid)
        return worker is not None and quiet(worker.pod)

    def running(self) -> list[Pod]:
        """The pods that have something of the node."""
        return [held for worker in self._workers.values() if (held := worker.holds) is not None]

    def addresses(self, pod: Pod, observed: Observed) -> tuple[str, ...]:
        """The addresses of a pod that has any."""
        return pod_ips(pod, observed.sandbox, self._tools.config)

    # --- workers ------------------------------------------------------------------------------------------------------

    def run_static(self, documents: Iterable[Document]) -> None:
        """These, and no others, are the pods that the node runs of its own accord."""
        if self._group is None:
            return
        wanted = {document.meta.uid: document for document in documents}
        for uid in self._static.keys() - wanted.keys():
            self._end_static(uid)
        for uid, document in wanted.items():
            if uid not in self._workers:
                self._static[uid] = document
                self._employ(uid, document, document.view(Pod), static=True)

    def _end_static(self, uid: str) -> None:
        document = self._static.pop(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            body = document.decode()
            now = format_time(self._tools.clock.now())
            grace = worker.pod.grace
            body["metadata"].update(deletionTimestamp=now, deletionGracePeriodSeconds=grace)
            worker.update(Document.stored(str(document.key), encode(body), document.revision + 1))

    def static(self) -> list[Document]:
        """The pods that the node runs of its own accord."""
        return list(self._static.values())

    def reflections(self) -> list[Document]:
        """What the API shows of static pods, those that are no more included."""
        return [document for document in self.documents() if is_reflection(document)]

    def _reflect(self, old: Document | None, new: Document | None) -> None:
        """Tell a static pod's worker what the API shows of it."""
        of = new or old
        uid = (of.meta.annotations or {}).get(MIRROR, "") if of is not None else ""
        worker = self._workers.get(uid)
        if worker is not None and uid in self._static:
            worker.reflected(new)

    def _changed(self, old: Document | None, new: Document | None) -> None:
        if is_reflection(new or old):
            self._reflect(old, new)
            return
        if old is not None and (new is None or new.meta.uid != old.meta.uid) and old.meta.uid in self._workers:
            self._workers[old.meta.uid].abandon()
        if new is not None:
            self._look_after(new)

    def _look_after(self, document: Document) -> None:
        if is_reflection(document):
            self._reflect(None, document)
            return
        worker = self._workers.get(document.meta.uid)
        if worker is not None:
            worker.update(document)
        else:
            self._employ(document.meta.uid, document, document.view(Pod))

    def _employ(self, uid: str, document: Document | None, pod: Pod, *, static: bool = False) -> None:
        if self._group is None:
            return
        worker = Worker(
            document, pod, self._tools, self.view, self._statuses, self._starts, self._neighbours, static=static
        )
        self._workers[uid] = worker
        self._tasks[uid] = self._group.create_task(self._keep_working(uid, worker), name=f"pod {pod.address}")

    def _neighbours(self, uid: str) -> Neighbours:
        """What the pods other than this one have of the node."""
        others = [held for key, worker in self._workers.items() if key != uid and (held := worker.holds) is not None]
        place, most = self._tools.config.place, self._tools.config.most_pods
        cpu, memory = (sum(resources.pod_request(pod, name) for pod in others) for name in ("cpu", "memory"))
        ports = [port for pod in others for port in host_ports(pod)]
        room = Room(place.cpu, place.memory, cpu, memory)
        return Neighbours(room, len(others), most, ports, self.pressures)

    async def _keep_working(self, uid: str, worker: Worker) -> None:
        """One pod's trouble is that pod's alone."""
        while not worker.finished:
            try:
                await worker.run()
            except Exception:
                _log.exception("the worker of pod %s failed; starting it again", worker.pod.address)
                await self._tools.clock.sleep(_AFTER_CRASH)
        if self._workers.get(uid) is worker:
            del self._workers[uid]
            self._tasks.pop(uid, None)
        for other in self._workers.values():
            if other.waits_for_room:
                other.wake()

    # --- the node -----------------------------------------------------------------------------------------------------

    async def _events(self) -> None:
        async for event in self._tools.runtime.events():
            if event.kind is EventKind.LOST:
                for worker in list(self._workers.values()):
                    worker.wake()
                continue
            owner = self._workers.get(self.view.owner(event.container_id))
            if owner is not None:
                owner.wake()
            elif event.kind is not EventKind.STARTED:
                # Not seen in any listing yet: whoever has just made it is looking anyway, but an exit must not be missed.
                for worker in list(self._workers.values()):
                    worker.wake()

    async def _tidy(self) -> None:
        """Employ workers for what nobody asked for: they stop and remove it."""
        while True:
            try:
                everything = await self.view.everything()
            except RuntimeFailure as failure:
                _log.debug("cannot look for orphans: %s", failure)
                await self._tools.clock.sleep(1.0)
                continue
            for uid, observed in everything.items():
                if uid and uid not in self._workers and self._ours(observed):
                    self._employ(uid, None, _orphan(uid, observed))
            for uid in self._tools.volumes.on_disk():
                if uid not in self._workers and uid not in everything:
                    self._employ(uid, None, _orphan(uid, Observed()))
            await self._tools.clock.sleep(_TIDY_EVERY)

    def _ours(self, observed: Observed) -> bool:
        node = self._tools.config.place.node_name
        return any(sandbox.labels.get(NODE) == node for sandbox in observed.sandboxes)

    async def _rotate(self) -> None:
        config, runtime = self._tools.config, self._tools.runtime
        while True:
            await self._tools.clock.sleep(_ROTATE_EVERY)
            for uid in list(self._workers):
                try:
                    observed = await self.view.pod(uid)
                    notes = observed.sandbox.annotations if observed.sandbox else None
                    size, kept = podmarks.log_rotation(notes, config.rotate_logs_at, config.kept_logs)
                    for container in observed.running:
                        if container.log_path and logs.needs_rotation(container.log_path, size):
                            logs.set_aside(container.log_path, self._tools.clock.now(), kept)
                            await runtime.reopen_log(container.id)
                except (RuntimeFailure, OSError, ValueError) as error:
                    _log.warning("rotating the logs of pod %s: %s", uid, error)


def is_reflection(document: Document | None) -> bool:
    """Whether this is what the API shows of a static pod."""
    return document is not None and MIRROR in (document.meta.annotations or {})


def _orphan(uid: str, observed: Observed) -> Pod:
    """As much of a pod as the runtime knows when the API knows nothing."""
    box = observed.sandbox
    meta = Meta(name=box.name if box else "", namespace=box.namespace if box else "", uid=uid)
    return Pod(metadata=meta, spec=PodSpec())
