"""Which nodes a class of pods may run on. One function per filter; each says in words whom it refuses.

A filter looks at one node and returns a reason or an empty string. The reasons are upstream's, since people search for them.
The numbers (resources) are filtered for all nodes at once in `place`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from motet.scheduler.affinity import selected
from motet.scheduler.classes import HostPort, PodClass
from motet.scheduler.snapshot import Node
from motet.scheduler.views import NodeSelector, Taint, Toleration, TopologyTerm

Filter = Callable[[PodClass, Node], str]

_UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def cordoned(pod: PodClass, node: Node) -> str:
    """`spec.unschedulable`, unless the pod tolerates the taint that stands for it."""
    if node.unschedulable and not tolerated(_UNSCHEDULABLE, pod.tolerations):
        return "node(s) were unschedulable"
    return ""


def labels(pod: PodClass, node: Node) -> str:
    """`spec.nodeSelector` and required node affinity."""
    fits = all(node.labels.get(key) == value for key, value in pod.node_selector.items())
    if fits and pod.node_affinity is not None and pod.node_affinity.required is not None:
        fits = selected(pod.node_affinity.required, node.labels, node.name)
    return "" if fits else "node(s) didn't match Pod's node affinity/selector"


def taints(pod: PodClass, node: Node) -> str:
    """Taints that forbid scheduling and that the pod does not tolerate."""
    for taint in node.taints:
        if taint.effect in ("NoSchedule", "NoExecute") and not tolerated(taint, pod.tolerations):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    return ""


def ports(pod: PodClass, node: Node) -> str:
    """Host ports that another pod on the node holds."""
    taken = any(_clash(wanted, held) for wanted in pod.host_ports for held in node.ports)
    return "node(s) didn't have free ports for the requested pod ports" if taken else ""


def confined(pod: PodClass, node: Node) -> str:
    """`addedAffinity` of the pod's profile: the nodes that are for pods of this scheduler name."""
    where = pod.profile.confined
    fits = where is None or selected(where, node.labels, node.name)
    return "" if fits else "node(s) didn't match scheduler-enforced node affinity"


STATIC: tuple[Filter, ...] = (cordoned, confined, labels, taints)


_CONFLICT = "node(s) had volume node affinity conflict"


def volumes(affinities: Iterable[NodeSelector], which: str = "") -> Filter:
    """The places the pod's volumes can be reached from; `which` tells people more."""
    required = tuple(affinities)
    reason = f"{_CONFLICT} ({which})" if which else _CONFLICT

    def reachable(pod: PodClass, node: Node) -> str:
        fits = all(selected(selector, node.labels, node.name) for selector in required)
        return "" if fits else reason

    return reachable


def bindable(reaches: Iterable[NodeSelector | None]) -> Filter:
    """The places from which one of the volumes that a claim could get can be reached; None is anywhere."""
    places = tuple(reaches)

    def found(pod: PodClass, node: Node) -> str:
        fits = any(place is None or selected(place, node.labels, node.name) for place in places)
        return "" if fits else "node(s) didn't find available persistent volumes to bind"

    return found


def topology(allowed: Sequence[TopologyTerm]) -> Filter:
    """`allowedTopologies` of a storage class: terms are alternatives, the expressions of a term hold together."""

    def inside(pod: PodClass, node: Node) -> str:
        fits = any(
            all(node.labels.get(item.key) in item.values for item in term.match_label_expressions or ())
            for term in allowed
        )
        return "" if fits else "node(s) didn't find available persistent volumes to bind"

    return inside


def in_use(pod: PodClass, node: Node) -> str:
    """A claim for one pod alone (ReadWriteOncePod) that another pod has, wherever that is."""
    return "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


def chosen(node_name: str, which: str = "") -> Filter:
    """Only the node that a claim of the pod has already been promised to; `which` tells people more."""
    reason = f"{_CONFLICT} ({which})" if which else _CONFLICT

    def promised(pod: PodClass, node: Node) -> str:
        return "" if node.name == node_name else reason

    return promised


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Kubernetes "Taints and Tolerations": an empty key with Exists tolerates all, an empty effect any effect."""
    for toleration in tolerations:
        if toleration.effect and toleration.effect != taint.effect:
            continue
        if toleration.key and toleration.key != taint.key:
            continue
        if toleration.operator == "Exists" or (toleration.key and toleration.value == taint.value):
            return True
    return False


def _clash(wanted: HostPort, held: HostPort) -> bool:
    if (wanted[0], wanted[2]) != (held[0], held[2]):
        return False
    anywhere = ("", "0.0.0.0", "::")
    return wanted[1] == held[1] or wanted[1] in anywhere or held[1] in anywhere
