"""Node health: a node whose agent has gone silent is marked, kept free of new pods, and then emptied.

A sign of life is a renewed Lease in `kube-node-lease` or a new heartbeat in the node's own status, by the manager's own clock:
what counts is when a change was seen, not the time written in it, so clocks that disagree do no harm (and `clockskew` says
that they do). Conditions, taints, reasons and messages are upstream's. When most nodes are silent at once the fault is more likely
ours, and nobody is evicted; when all are, services keep the endpoints they have, and once a node is heard again the others get
the grace period anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import Conflict, NotFound
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import clockskew, podview
from motet.controllers.clockskew import Condition as NodeCondition
from motet.controllers.clockskew import Skews
from motet.controllers.loop import Controller
from motet.controllers.podview import PodView
from motet.kinds import lease as lease_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document, Meta
from motet.store.table import Table

LEASES = "kube-node-lease"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()})
# What an agent reports and what is therefore unknown when it is silent.
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


class Taint(msgspec.Struct, gc=False, frozen=True, rename="camel", omit_defaults=True):
    key: str
    effect: str = ""
    value: str = ""
    time_added: str | None = None


class NodeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    taints: tuple[Taint, ...] | None = None
    unschedulable: bool = False
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")


class NodeStatus(msgspec.Struct, gc=False, frozen=True):
    conditions: tuple[NodeCondition, ...] | None = None


class NodeView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    def condition(self, type: str) -> NodeCondition | None:
        return next((each for each in self.status.conditions or () if each.type == type), None)

    def ready(self) -> str:
        """The status of the condition Ready: True, False, Unknown, or empty when it was never reported."""
        condition = self.condition("Ready")
        return condition.status if condition else ""


class _LeaseSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    renew_time: str | None = None


class _LeaseView(msgspec.Struct, gc=False, frozen=True):
    spec: _LeaseSpec = _LeaseSpec()


@dataclass(frozen=True, slots=True)
class Plan:
    """Conditions and taints to write; None where those there are right. `went_silent` is news worth an event, and so is a
    change of what is said of its clock (`clock`).
    """

    conditions: tuple[NodeCondition, ...] | None
    taints: tuple[Taint, ...] | None
    went_silent: bool = False
    clock: NodeCondition | None = None


def believable(silent: int, nodes: int) -> bool:
    """Whether so many silent nodes are likely to be dead, and not only out of our reach (upstream: 55 of 100, three at least)."""
    return silent < nodes and not (silent >= 3 and silent >= 0.55 * nodes)


def decide(node: NodeView, silent: bool, now: datetime, *, evict: bool = True, skew: float | None = None) -> Plan:
    """What to write on `node`, which gave no sign of life for the grace period if `silent`.

    Unless `evict`, its pods stay where they are. One that was silent and has been heard of, or that a manager which has just begun
    knows nothing of, stays as it was judged until it tells otherwise. `skew` is by how many seconds its clock is ahead, None
    when that is not known.
    """
    conditions = node.status.conditions or ()
    after = _silenced(conditions, now) if silent else clockskew.judge(conditions, skew, now)
    ready = next((each.status for each in after if each.type == "Ready"), "")
    old = node.spec.taints or ()
    if not silent and ready == "Unknown":
        evict = any((each.key, each.effect) == (UNREACHABLE, "NoExecute") for each in old)
    taints = _taints(old, _wanted(ready, after, node.spec.unschedulable, evict=evict), now)
    return Plan(
        after if after != conditions else None,
        taints if taints != old else None,
        went_silent=silent and node.ready() not in ("Unknown", ""),
        clock=_news(node.condition(clockskew.CONDITION), after),
    )


def _news(old: NodeCondition | None, after: Iterable[NodeCondition]) -> NodeCondition | None:
    """What is said of the clock, if it is not what was said."""
    new = next((each for each in after if each.type == clockskew.CONDITION), None)
    return None if new is None or (old is not None and old.status == new.status) else new


def _silenced(conditions: Sequence[NodeCondition], now: datetime) -> tuple[NodeCondition, ...]:
    known = {each.type: each for each in conditions}
    stamp = timestamps.format_time(now)
    for type in _REPORTED:
        old = known.get(type)
        if old is None:
            never = "Kubelet never posted node status."
            known[type] = NodeCondition(type, "Unknown", "NodeStatusNeverUpdated", never, None, stamp)
        elif old.status != "Unknown":
            known[type] = msgspec.structs.replace(
                old,
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                last_transition_time=stamp,
            )
    return tuple(known.values())


def _wanted(
    ready: str, conditions: Iterable[NodeCondition], unschedulable: bool, *, evict: bool
) -> set[tuple[str, str]]:
    wanted: set[tuple[str, str]] = set()
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        wanted.add((key, "NoSchedule"))
        if ready and evict:
            wanted.add((key, "NoExecute"))
    for condition in conditions:
        if condition.type in _PRESSURES and condition.status == "True":
            wanted.add((_PRESSURES[condition.type], "NoSchedule"))
    if unschedulable:
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    return wanted


def _taints(old: Iterable[Taint], wanted: set[tuple[str, str]], now: datetime) -> tuple[Taint, ...]:
    """The taints there are, without ours that no longer hold and with those that now do."""
    kept = [each for each in old if each.key not in _OURS or (each.key, each.effect) in wanted]
    there = {(each.key, each.effect) for each in kept}
    stamp = timestamps.format_time(now)
    return (*kept, *(Taint(key, effect, "", stamp) for key, effect in sorted(wanted - there)))


class NodeHealth:
    """The loop over nodes and their leases."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder, grace_seconds: float = 40.0) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._grace = grace_seconds
        self._nodes: Table
        self._leases: Table
        self._pods: Table
        self._loop: Controller[str]
        self._signs: dict[str, tuple[tuple[str, ...], float]] = {}  # what was last heard of a node, and when
        self._skews = Skews()
        self._lost = (float("-inf"), 0)  # when silent nodes were last counted, and how many there were
        self._heard_nobody = False

    async def run(self) -> None:
        """Watch over every node until cancelled."""
        self._signs.clear()
        self._nodes = await self._client.table(node_kind.KIND)
        self._leases = await self._client.table(lease_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop = self._loop = Controller("node", self.reconcile, clock=self._clock, parallelism=16, pace=0.05)
        loop.watch(self._nodes, lambda old, new: ((new or old).name,) if new or old else ())  # type: ignore[union-attr]
        loop.watch(self._leases, _node_of)
        await loop.run()

    async def reconcile(self, name: str) -> float | None:
        """Look at one node; come back when its grace would be over."""
        document = self._nodes.get(name)
        if document is None:
            self._signs.pop(name, None)
            self._skews.forget(name)
            return None
        node = document.view(NodeView)
        quiet = self._quiet_for(name, node)
        silent = quiet >= self._grace
        evict = not silent or self._believable()
        plan = decide(node, silent, self._clock.now(), evict=evict, skew=self._skews.of(name))
        if plan.conditions is not None:
            document = await self._write_conditions(document, plan.conditions)
        if silent and not self._heard_nobody:
            # Before anything else: requests are being lost there.
            await self._mark_pods(name)
        if plan.taints is not None:
            document = await self._write_taints(document, plan.taints)
        if plan.went_silent:
            self._tell(document, node)
        if plan.clock is not None:
            self._tell_clock(document, plan.clock)
        if silent:
            return self._grace / 4
        return max(0.1, self._grace - quiet)

    def _believable(self) -> bool:
        """Whether the silent nodes are likely to be dead. Counted now and then: each of a thousand asks."""
        at, lost = self._lost
        now, nodes = self._clock.monotonic(), len(self._nodes)
        if now - at >= self._grace / 40:
            quiet = [self._quiet_for(each.name, each.view(NodeView)) for each in self._nodes]
            lost = sum(each >= self._grace for each in quiet)
            self._lost = (now, lost)
            self._heard_nobody = lost == nodes
        return believable(lost, nodes)

    def _quiet_for(self, name: str, node: NodeView) -> float:
        """Seconds since the last change in what the agent tells."""
        lease = self._leases.get(name, LEASES)
        ready = node.condition("Ready")
        renewed = lease.view(_LeaseView).spec.renew_time or "" if lease else ""
        # Our own verdict of Unknown is no sign of life.
        heard = (ready.last_heartbeat_time or "", ready.status) if ready and ready.status != "Unknown" else ("", "")
        before, since = self._signs.get(name, ((), 0.0))
        now = self._clock.monotonic()
        sign = (node.metadata.uid, renewed, *heard)
        if before and sign[:2] == before[:2] and (heard == ("", "") or sign == before):
            return now - since
        if before and before[0] == node.metadata.uid and before[1] and before[1] != renewed:
            # Not the first that is heard of it, which may have been written long ago.
            self._skews.heard(name, renewed, self._clock.now())
        self._signs[name] = (sign, now)
        if self._heard_nobody:
            # It was us: we could not hear, or could not write down what we heard.
            self._heard_nobody = False
            self._signs = {each: (known, now) for each, (known, _) in self._signs.items()}
        return 0.0

    async def _write_conditions(self, document: Document, conditions: Sequence[NodeCondition]) -> Document:
        changed = document.decode()
        changed.setdefault("status", {})["conditions"] = [_builtins(each) for each in conditions]
        return await self._client.update(node_kind.KIND, changed, subresource="status")

    async def _write_taints(self, document: Document, taints: Sequence[Taint]) -> Document:
        patch = {
            "metadata": {"resourceVersion": document.meta.resource_version},
            "spec": {"taints": [_builtins(each) for each in taints] or None},
        }
        return await self._client.patch(node_kind.KIND, document.name, patch)

    def _tell(self, document: Document, node: NodeView) -> None:
        message = f"Node {document.name} status is now: NodeNotReady"
        type = WARNING if node.ready() == "True" else NORMAL
        self._events.event(About.document(document, "v1", "Node"), type, "NodeNotReady", message)

    def _tell_clock(self, document: Document, condition: NodeCondition) -> None:
        type = WARNING if condition.status == "True" else NORMAL
        message = f"Node {document.name}: {condition.message}"
        self._events.event(About.document(document, "v1", "Node"), type, condition.reason, message)

    async def _mark_pods(self, name: str) -> None:
        """Services stop sending to pods nobody can vouch for. The agent corrects it when it is back."""
        stamp = timestamps.format_time(self._clock.now())
        ready = [
            pod
            for pod in self._pods.by_field("spec.nodeName", name)
            if podview.is_ready(view := pod.view(PodView)) and not podview.is_finished(view)
        ]
        # All at once, so that they share a commit. Who was faster is looked at again.
        outcomes = await asyncio.gather(*(self._mark_pod(pod, stamp) for pod in ready), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Conflict):
                raise outcome
        if any(outcomes):
            self._loop.enqueue(name)

    async def _mark_pod(self, pod: Document, stamp: str) -> None:
        changed = pod.decode()
        for condition in changed["status"]["conditions"]:
            if condition["type"] == "Ready":
                condition.update(status="False", reason="NodeNotReady", lastTransitionTime=stamp)
        with contextlib.suppress(NotFound):
            await self._client.update(pod_kind.KIND, changed, subresource="status")


def _builtins(value: msgspec.Struct) -> dict[str, Any]:
    return msgspec.to_builtins(value)  # type: ignore[no-any-return]


def _node_of(old: Document | None, new: Document | None) -> Iterable[str]:
    return (new.name,) if new is not None and new.namespace == LEASES else ()
