"""What a pod's volume claims mean for where it can run (Kubernetes "Volume Binding Mode")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from motet.base import quantity
from motet.client.interface import Client
from motet.kinds import persistentvolume, persistentvolumeclaim, storageclass
from motet.scheduler import filters
from motet.scheduler.classes import PodClass
from motet.scheduler.csi import Drivers, Volume
from motet.scheduler.views import ClaimView, NodeSelector, StorageClassView, VolumeView
from motet.store.document import Document
from motet.store.table import Table

SELECTED_NODE = "volume.kubernetes.io/selected-node"
_NAMES_A_NODE = frozenset({"kubernetes.io/hostname", "metadata.name"})
_NO_PROVISIONER = "kubernetes.io/no-provisioner"

_ONE_POD = "ReadWriteOncePod"

# Whether a pod that has been placed mounts the claim (namespace, name).
InUse = Callable[[str, str], bool]


def _by_nobody(namespace: str, claim: str) -> bool:
    return False


# (namespace, claim) -> node, for claims promised in this turn and not annotated yet.
Promises = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Claims:
    """A pod's claims as they stand: a reason to wait, filters to add, and claims to promise to the node chosen.

    `exclusive`: no second pod may be placed that has them.
    """

    problem: str = ""
    exclusive: bool = False
    filters: Sequence[filters.Filter] = ()
    unbound: Sequence[Document] = ()


@dataclass(frozen=True, slots=True)
class Storage:
    """The tables that claims are looked up in."""

    claims: Table
    volumes: Table
    classes: Table
    drivers: Drivers

    @classmethod
    async def over(cls, client: Client) -> Storage:
        """The tables of an API."""
        return cls(
            await client.table(persistentvolumeclaim.KIND),
            await client.table(persistentvolume.KIND),
            await client.table(storageclass.KIND),
            await Drivers.over(client),
        )

    @property
    def tables(self) -> Sequence[Table]:
        return self.claims, self.volumes, self.classes, *self.drivers.tables

    def of(self, pod: PodClass, promises: Promises, in_use: InUse = _by_nobody) -> Claims:
        """Look at every claim the class of pods mounts."""
        extra: list[filters.Filter] = []
        unbound: list[Document] = []
        exclusive = False
        for name in pod.claims:
            claim = self.claims.get(name, pod.namespace)
            if claim is None or (problem := _unusable(pod, claim)):
                return Claims(problem=_missing(pod, name) if claim is None else problem)
            view = claim.view(ClaimView)
            if _ONE_POD in (view.spec.access_modes or ()):
                exclusive = True
                if in_use(claim.namespace, name):
                    extra.append(filters.in_use)
            if view.spec.volume_name:
                volume = self.volumes.get(view.spec.volume_name)
                if volume is None:
                    return Claims(problem=f'persistentvolume "{view.spec.volume_name}" not found')
                affinity = _reach(volume.view(VolumeView))
                if affinity is not None:
                    extra.append(filters.volumes([affinity], _where(volume.name, name, affinity)))
            else:
                storage_class = self._class(view.spec.storage_class_name)
                if storage_class is None or storage_class.volume_binding_mode != "WaitForFirstConsumer":
                    return Claims(problem="pod has unbound immediate PersistentVolumeClaims")
                extra.extend(self._possible(claim, view, storage_class))
            if view.status.phase != "Bound":
                unbound.append(claim)
                promised = promises.get((claim.namespace, claim.name)) or selected_node(claim)
                if promised:
                    extra.append(filters.chosen(promised, f'claim "{name}" is to be kept on node {promised}'))
        wanted = {found for name in pod.claims if (found := self._volume_of(pod.namespace, name)) is not None}
        if wanted:
            extra.append(self.drivers.counted(frozenset(wanted), self._volume_of, self._handle))
        return Claims(exclusive=exclusive, filters=tuple(extra), unbound=tuple(unbound))

    def _volume_of(self, namespace: str, name: str) -> Volume | None:
        """The driver's volume of a claim; of one that is not bound yet, what stands for the volume it will get."""
        claim = self.claims.get(name, namespace)
        if claim is None:
            return None
        spec = claim.view(ClaimView).spec
        if spec.volume_name:
            return self._handle(spec.volume_name)
        storage_class = self._class(spec.storage_class_name)
        return (storage_class.provisioner, f"{namespace}/{name}") if storage_class is not None else None

    def _handle(self, volume: str) -> Volume | None:
        """What its driver calls a PersistentVolume."""
        found = self.volumes.get(volume)
        csi = found.view(VolumeView).spec.csi if found is not None else None
        return (csi.driver, csi.volume_handle) if csi is not None else None

    def _class(self, name: str) -> StorageClassView | None:
        found = self.classes.get(name) if name else None
        return found.view(StorageClassView) if found is not None else None

    def _possible(self, claim: Document, view: ClaimView, storage_class: StorageClassView) -> Sequence[filters.Filter]:
        """Where a claim that waits for its first consumer can get a volume at all."""
        if storage_class.provisioner != _NO_PROVISIONER:
            found = [filters.topology(storage_class.allowed_topologies)] if storage_class.allowed_topologies else []
            size = (view.spec.resources.requests or {}).get("storage", 0)
            roomy = self.drivers.roomy(storage_class.provisioner, view.spec.storage_class_name, size)
            return [*found, roomy] if roomy is not None and not selected_node(claim) else found
        if storage_class.allowed_topologies:
            return [filters.topology(storage_class.allowed_topologies)]
        candidates = [volume.view(VolumeView) for volume in self.volumes if volume.meta.deletion_timestamp is None]
        return [filters.bindable([_reach(volume) for volume in candidates if _suits(volume, claim, view)])]

    def pinned(self, pod: PodClass) -> str:
        """Which volumes keep the pod on its node, in words; empty when none does."""
        said = []
        for name in pod.claims:
            claim = self.claims.get(name, pod.namespace)
            volume = self.volumes.get(claim.view(ClaimView).spec.volume_name) if claim is not None else None
            affinity = _reach(volume.view(VolumeView)) if volume is not None else None
            if volume is not None and affinity is not None:
                said.append(_where(volume.name, name, affinity))
        return ", ".join(said)

    def all_bound(self, pod: PodClass) -> bool:
        """Whether nothing is left to be bound."""
        found = [self.claims.get(name, pod.namespace) for name in pod.claims]
        return all(claim is not None and claim.view(ClaimView).status.phase == "Bound" for claim in found)

    def kept(self, pod: PodClass, node: str) -> bool:
        """Whether every claim is there and the unbound ones are still meant for the node."""
        for name in pod.claims:
            claim = self.claims.get(name, pod.namespace)
            if claim is None:
                return False
            if claim.view(ClaimView).status.phase != "Bound" and selected_node(claim) != node:
                return False
        return True


def selected_node(claim: Document) -> str:
    """The node a claim is promised to, or an empty string."""
    return (claim.meta.annotations or {}).get(SELECTED_NODE, "")


def _missing(pod: PodClass, name: str) -> str:
    if name in pod.own_claims:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    return f'persistentvolumeclaim "{name}" not found'


def _unusable(pod: PodClass, claim: Document) -> str:
    """Why a claim that is there is not for this pod, or an empty string."""
    if claim.meta.deletion_timestamp:
        return f'persistentvolumeclaim "{claim.name}" is being deleted'
    if claim.name in pod.own_claims:
        owner = claim.meta.controller()
        if owner is None or owner.uid != pod.pod_uid:
            where = pod.namespace
            return f"PVC {where}/{claim.name} was not created for pod {where}/{pod.pod_name} (pod is not owner)"
    return ""


def _where(volume: str, claim: str, affinity: NodeSelector) -> str:
    """What a person needs to know of a volume that is not everywhere."""
    nodes = [
        value
        for term in affinity.node_selector_terms
        for item in (*(term.match_expressions or ()), *(term.match_fields or ()))
        if item.key in _NAMES_A_NODE and item.operator == "In"
        for value in item.values or ()
    ]
    place = f"is on node {' or '.join(nodes)}" if nodes else "cannot be reached from every node"
    return f'volume "{volume}" of claim "{claim}" {place}'


def _reach(volume: VolumeView) -> NodeSelector | None:
    affinity = volume.spec.node_affinity
    return affinity.required if affinity is not None else None


def _suits(volume: VolumeView, claim: Document, view: ClaimView) -> bool:
    """Whether a volume that exists could become the claim's: free or reserved for it, of its class, modes and size."""
    spec = volume.spec
    if spec.claim_ref is not None and (spec.claim_ref.namespace, spec.claim_ref.name) != (claim.namespace, claim.name):
        return False
    if spec.storage_class_name != view.spec.storage_class_name:
        return False
    if not set(view.spec.access_modes or ()) <= set(spec.access_modes or ()):
        return False
    wanted = (view.spec.resources.requests or {}).get("storage", 0)
    return quantity.parse((spec.capacity or {}).get("storage", 0)) >= quantity.parse(wanted)
