"""The slots of an App, and pods that are where they must not be: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from motet.controllers import appplacement
from motet.controllers.apps import Want
from motet.controllers.appview import AppSpec, AppView, TaskPod
from motet.controllers.nodematch import Placing, untolerated
from motet.controllers.nodes import NodeView
from motet.kinds import tasks


def slots_of(app: AppView, nodes: Iterable[NodeView]) -> dict[str, Want]:
    """The slots of an App: numbers when it has replicas, the nodes its pods may run on when it is on every node."""
    mode = app.spec.mode
    if not app.everywhere:
        count = 1 if mode.replicated is None else mode.replicated.replicas
        if mode.replicated_job is not None:
            count = mode.replicated_job.total_completions
        return {str(number): Want.RUN for number in range(1, count + 1)}
    spec = msgspec.convert(_constrained(app.spec), Placing)
    slots = {}
    for node in nodes:
        want = _suits(spec, node)
        if want is not None:
            slots[node.metadata.name] = want
    return slots


def _constrained(spec: AppSpec) -> dict[str, Any]:
    """The pod specification as the placement narrows it; the template itself stays as it is."""
    template: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec.template.get("spec") or {}))
    appplacement.constrain(template, spec.placement)
    return template


def _suits(spec: Placing, node: NodeView) -> Want | None:
    if not spec.selects(node.metadata.name, node.metadata.labels or {}):
        return None
    if node.metadata.deletion_timestamp is not None:
        return None
    # NoExecute is the taint evictor's business: what it lets stay, stays.
    blocked = untolerated(node.spec.taints or (), spec.tolerations or (), "NoSchedule", "NoExecute")
    return Want.KEEP if blocked or node.spec.unschedulable else Want.RUN


def misplacement(app: AppView, node: Callable[[str], NodeView | None]) -> Callable[[TaskPod], bool]:
    """Tells of a pod whose node does not fulfil the constraints, or that waits for one by constraints of before."""
    placement, mark = app.spec.placement, appplacement.fingerprint(app.spec.placement)
    wanted = appplacement.required(placement)

    def misplaced(pod: TaskPod) -> bool:
        if not pod.spec.node_name:
            return (pod.metadata.annotations or {}).get(tasks.PLACEMENT, "") != mark
        if not placement.constraints:
            return False
        found = node(pod.spec.node_name)
        return found is not None and not wanted.selects(found.metadata.name, found.metadata.labels or {})

    return misplaced
