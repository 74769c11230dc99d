"""The scheduler's snapshot of a cluster seen from outside: for whoever asks its rules without being it."""

from __future__ import annotations

from collections.abc import Iterable

from motet.scheduler.classes import Classes
from motet.scheduler.profiles import USUAL, Profiles
from motet.scheduler.snapshot import Snapshot
from motet.scheduler.views import PodView
from motet.store.document import Document, Key


def taken(
    nodes: Iterable[Document],
    pods: Iterable[Document],
    namespaces: Iterable[Document],
    *,
    without: Key | None = None,
    known: Profiles = USUAL,
) -> tuple[Snapshot, Classes]:
    """What counts where, one pod left out if told so."""
    snapshot, classes = Snapshot(), Classes(known)
    for each in namespaces:
        snapshot.namespaces[each.name] = each.meta.labels or {}
    for each in nodes:
        snapshot.set_node(each)
    for each in pods:
        if counts(each) and each.key != without:
            snapshot.add(each.view(PodView).spec.node_name, classes.of(each))
    return snapshot, classes


def counts(pod: Document) -> bool:
    """Whether a pod has a node and has not ended."""
    view = pod.view(PodView)
    return bool(view.spec.node_name) and view.status.phase not in ("Succeeded", "Failed")
