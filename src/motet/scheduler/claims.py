"""What a pod's volume claims mean for where it can run (Kubernetes "Volume Binding Mode")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from motet.scheduler import filters
from motet.scheduler.classes import PodClass
from motet.scheduler.views import ClaimView, NodeSelector, StorageClassView, VolumeView
from motet.store.document import Document
from motet.store.table import Table

SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True)
class Claims:
    """A pod's claims as they stand: a reason to wait, filters to add, and claims to promise to the node chosen."""

    problem: str = ""
    filters: Sequence[filters.Filter] = ()
    unbound: Sequence[Document] = ()


@dataclass(frozen=True, slots=True)
class Storage:
    """The tables that claims are looked up in."""

    claims: Table
    volumes: Table
    classes: Table

    def of(self, pod: PodClass) -> Claims:
        """Look at every claim the class of pods mounts."""
        reachable: list[NodeSelector] = []
        extra: list[filters.Filter] = []
        unbound: list[Document] = []
        for name in pod.claims:
            claim = self.claims.get(name, pod.namespace)
            if claim is None:
                return Claims(problem=f'persistentvolumeclaim "{name}" not found')
            if claim.meta.deletion_timestamp:
                return Claims(problem=f'persistentvolumeclaim "{name}" is being deleted')
            view = claim.view(ClaimView)
            if view.spec.volume_name:
                volume = self.volumes.get(view.spec.volume_name)
                if volume is None:
                    return Claims(problem=f'persistentvolume "{view.spec.volume_name}" not found')
                affinity = volume.view(VolumeView).spec.node_affinity
                if affinity is not None and affinity.required is not None:
                    reachable.append(affinity.required)
            elif not self._waits_for_a_node(view.spec.storage_class_name):
                return Claims(problem="pod has unbound immediate PersistentVolumeClaims")
            if view.status.phase != "Bound":
                unbound.append(claim)
                promised = (claim.meta.annotations or {}).get(SELECTED_NODE)
                if promised:
                    extra.append(filters.chosen(promised))
        if reachable:
            extra.append(filters.volumes(reachable))
        return Claims(filters=tuple(extra), unbound=tuple(unbound))

    def _waits_for_a_node(self, storage_class: str) -> bool:
        found = self.classes.get(storage_class) if storage_class else None
        return found is not None and found.view(StorageClassView).volume_binding_mode == "WaitForFirstConsumer"
