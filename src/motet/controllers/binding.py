"""Claims and volumes: which volume a claim gets, what a new one looks like, what becomes of one let go. All of it pure.

Follows the Kubernetes volume binder: a volume reserved for the claim wins, then the smallest that fits; both sides name each
other; a claim that waits for its first consumer is bound only when the scheduler has chosen a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from motet.base import quantity, selectors
from motet.controllers.nodematch import NodeSelector
from motet.kinds.persistentvolume import NODE_LABEL
from motet.store.document import Meta

Json = dict[str, Any]

PROVISIONER = "motet.dev/local-path"
LOCAL_PATH_FINALIZER = "motet.dev/local-path"
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
# What the external provisioner looks for: the name of the one that is asked. It once was a beta, and old ones know that name.
ASKED = ("volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner")
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
RESIZING = "Resizing"
RESIZE_CONDITIONS = (RESIZING, "FileSystemResizePending")
_HOSTNAME = "kubernetes.io/hostname"


class Resources(msgspec.Struct, gc=False, frozen=True):
    requests: dict[str, str | int | float] | None = None


class ClaimSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    access_modes: tuple[str, ...] | None = None
    data_source: dict[str, Any] | None = None
    data_source_ref: dict[str, Any] | None = None
    resources: Resources = Resources()
    selector: dict[str, Any] | None = None
    storage_class_name: str | None = None
    volume_mode: str = "Filesystem"
    volume_name: str = ""


class ClaimCondition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""


class ClaimStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = "Pending"
    access_modes: tuple[str, ...] | None = None
    capacity: dict[str, str] | None = None
    conditions: tuple[ClaimCondition, ...] | None = None


class ClaimView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    def annotation(self, key: str) -> str:
        return (self.metadata.annotations or {}).get(key, "")

    def size(self) -> str:
        return str((self.spec.resources.requests or {}).get("storage", "0"))

    def resizing(self) -> bool:
        """It has been told that its volume is about to grow."""
        return any(each.type in RESIZE_CONDITIONS for each in self.status.conditions or ())


class ClaimRef(msgspec.Struct, gc=False, frozen=True):
    namespace: str = ""
    name: str = ""
    uid: str = ""

    def is_for(self, claim: Meta) -> bool:
        """It names the claim; a reference without uid is a reservation for whoever has the name."""
        return (self.namespace, self.name) == (claim.namespace, claim.name) and self.uid in ("", claim.uid)


class NodeAffinity(msgspec.Struct, gc=False, frozen=True):
    required: NodeSelector | None = None


class VolumeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    access_modes: tuple[str, ...] | None = None
    capacity: dict[str, str | int | float] | None = None
    claim_ref: ClaimRef | None = None
    node_affinity: NodeAffinity | None = None
    persistent_volume_reclaim_policy: str = "Retain"
    storage_class_name: str = ""
    volume_mode: str = "Filesystem"


class VolumeStatus(msgspec.Struct, gc=False, frozen=True):
    phase: str = "Pending"
    message: str = ""


class VolumeView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()

    def size(self) -> str:
        return str((self.spec.capacity or {}).get("storage", "0"))


class ClassView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    provisioner: str = ""
    reclaim_policy: str = "Delete"
    volume_binding_mode: str = "Immediate"
    allow_volume_expansion: bool | None = None

    def waits(self) -> bool:
        return self.volume_binding_mode == "WaitForFirstConsumer"


@dataclass(frozen=True, slots=True)
class Node:
    """What matters of the node the scheduler chose."""

    name: str
    labels: Mapping[str, str]


class Do(StrEnum):
    WAIT = "wait"  # nothing to do now; the reason is for an event
    RESERVE = "reserve"  # write the claim into the volume
    TAKE = "take"  # write the volume into the claim
    REPORT = "report"  # both name each other: phases
    ANNOUNCE = "announce"  # tell the claim that its volume is about to grow
    EXPAND = "expand"  # let the volume be as large as the claim says
    DEFER = "defer"  # somebody else makes volumes of this class grow
    PROVISION = "provision"
    ASK = "ask"  # write into the claim which external provisioner is to make its volume
    LOSE = "lose"  # the volume of a bound claim is gone or another's
    GIVE_BACK = "give back"  # the chosen node cannot serve: let the scheduler choose again


@dataclass(frozen=True, slots=True)
class Step:
    """The next thing to do for a claim, with the volume concerned and, for waiting, the event's reason and message."""

    do: Do
    volume: VolumeView | None = None
    reason: str = ""
    message: str = ""


def next_step(
    claim: ClaimView, volumes: Mapping[str, VolumeView], storage_class: ClassView | None, node: Node | None
) -> Step:
    """One step for one claim. `storage_class` is the claim's own if it exists, `node` the one the scheduler chose."""
    if claim.metadata.deletion_timestamp is not None:
        return Step(Do.WAIT)
    if claim.spec.volume_name:
        step = _towards(claim, volumes.get(claim.spec.volume_name))
        if step.do is Do.REPORT and step.volume is not None:
            return _growing(claim, step.volume, storage_class)
        return step
    reserved = next((v for v in volumes.values() if v.spec.claim_ref and v.spec.claim_ref.is_for(claim.metadata)), None)
    if reserved is not None and reserved.metadata.deletion_timestamp is None:
        return Step(Do.TAKE if reserved.spec.claim_ref and reserved.spec.claim_ref.uid else Do.RESERVE, reserved)
    waits = storage_class is not None and storage_class.waits()
    if waits and node is None:
        if claim.annotation(SELECTED_NODE):
            return Step(Do.GIVE_BACK, None, "ProvisioningFailed", "the chosen node no longer exists")
        message = "waiting for first consumer to be created before binding"
        return Step(Do.WAIT, None, "WaitForFirstConsumer", message)
    found = best_match(claim, volumes.values(), node if waits else None)
    if found is not None:
        return Step(Do.RESERVE, found)
    return _without_volume(claim, storage_class, node)


def _towards(claim: ClaimView, volume: VolumeView | None) -> Step:
    bound = bool(claim.annotation(BIND_COMPLETED))
    if volume is None:
        return Step(
            Do.LOSE if bound else Do.WAIT,
            None,
            "ClaimLost" if bound else "",
            "Bound claim has lost its PersistentVolume.",
        )
    reference = volume.spec.claim_ref
    if reference is None:
        return Step(Do.LOSE if bound else Do.RESERVE, volume)
    if not reference.is_for(claim.metadata):
        message = f"volume {volume.metadata.name} is bound to another claim"
        return Step(Do.LOSE if bound else Do.WAIT, None, "FailedBinding", message)
    if not reference.uid:
        return Step(Do.RESERVE, volume)
    return Step(Do.REPORT if bound else Do.TAKE, volume)


def is_ours(volume: VolumeView) -> bool:
    """Whether this cluster itself made the volume; of others, their drivers say how large they are by now."""
    return (volume.metadata.annotations or {}).get(PROVISIONED_BY) == PROVISIONER


def _growing(claim: ClaimView, volume: VolumeView, storage_class: ClassView | None) -> Step:
    """A bound claim that asks for more than its volume has. What was bound just now is reported first."""
    more = quantity.parse(claim.size()) > quantity.parse(volume.size())
    allowed = storage_class is not None and bool(storage_class.allow_volume_expansion)
    if not more or not allowed or claim.status.phase != "Bound":
        return Step(Do.REPORT, volume)
    if not is_ours(volume):
        message = "waiting for an external controller to expand this PVC"
        return Step(Do.DEFER, volume, "ExternalExpanding", message)
    return Step(Do.EXPAND if claim.resizing() else Do.ANNOUNCE, volume)


def _without_volume(claim: ClaimView, storage_class: ClassView | None, node: Node | None) -> Step:
    name = claim.spec.storage_class_name
    if not name:
        message = "no persistent volumes available for this claim and no storage class is set"
        return Step(Do.WAIT, None, "FailedBinding", message)
    if storage_class is None:
        message = f'storageclass.storage.k8s.io "{name}" not found'
        return Step(Do.WAIT, None, "ProvisioningFailed", message)
    if storage_class.provisioner == "kubernetes.io/no-provisioner":
        message = f'no volume of storage class "{name}" fits' + (f" on node {node.name}" if node else "")
        return Step(Do.GIVE_BACK if node else Do.WAIT, None, "FailedBinding", message)
    if storage_class.provisioner != PROVISIONER:
        message = f"Waiting for a volume to be created by the external provisioner '{storage_class.provisioner}'"
        asked = all(claim.annotation(key) == storage_class.provisioner for key in ASKED)
        return Step(Do.WAIT if asked else Do.ASK, None, "ExternalProvisioning", message)
    if claim.spec.volume_mode == "Block":
        message = f"{PROVISIONER} makes directories, not block devices: spec.volumeMode must be Filesystem"
        return Step(Do.WAIT, None, "ProvisioningFailed", message)
    if claim.spec.data_source or claim.spec.data_source_ref:
        message = f"{PROVISIONER} makes empty directories: spec.dataSource is not supported"
        return Step(Do.WAIT, None, "ProvisioningFailed", message)
    if node is None:
        message = f'{PROVISIONER} needs volumeBindingMode WaitForFirstConsumer in storage class "{name}"'
        return Step(Do.WAIT, None, "ProvisioningFailed", message)
    return Step(Do.PROVISION)


def best_match(claim: ClaimView, volumes: Iterable[VolumeView], node: Node | None) -> VolumeView | None:
    """The smallest free volume that fits the claim (and can be reached from `node`, when one is chosen)."""
    selector = selectors.EVERYTHING if claim.spec.selector is None else selectors.from_document(claim.spec.selector)
    wanted, modes = quantity.parse(claim.size()), set(claim.spec.access_modes or ())
    fitting = [
        volume
        for volume in volumes
        if volume.spec.claim_ref is None
        and volume.metadata.deletion_timestamp is None
        and volume.spec.storage_class_name == (claim.spec.storage_class_name or "")
        and volume.spec.volume_mode == claim.spec.volume_mode
        and modes <= set(volume.spec.access_modes or ())
        and quantity.parse(volume.size()) >= wanted
        and selector.matches(volume.metadata.labels)
        and (node is None or _reachable(volume, node))
    ]
    return min(fitting, key=lambda volume: (quantity.parse(volume.size()), volume.metadata.name), default=None)


def _reachable(volume: VolumeView, node: Node) -> bool:
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return affinity.required.matches(node.name, node.labels)


def provisioned(claim: ClaimView, storage_class: ClassView, node: str, directory: str) -> Json:
    """The volume to make for a claim on `node`: a directory below `directory` that the agent there makes and removes."""
    meta = claim.metadata
    name = f"pvc-{meta.uid}"
    expression = {"key": _HOSTNAME, "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "labels": {NODE_LABEL: node},
            "annotations": {PROVISIONED_BY: PROVISIONER},
            "finalizers": [VOLUME_PROTECTION, LOCAL_PATH_FINALIZER],
        },
        "spec": {
            "capacity": {"storage": claim.size()},
            "accessModes": list(claim.spec.access_modes or ("ReadWriteOnce",)),
            "volumeMode": claim.spec.volume_mode,
            "persistentVolumeReclaimPolicy": storage_class.reclaim_policy,
            "storageClassName": storage_class.metadata.name,
            "claimRef": claim_reference(meta),
            "local": {"path": f"{directory.rstrip('/')}/{name}_{meta.namespace}_{meta.name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }


def claim_reference(claim: Meta) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": claim.namespace,
        "name": claim.name,
        "uid": claim.uid,
    }


def phase(volume: VolumeView, claim: ClaimView | None) -> str:
    """Of a volume, given the claim its reference names, if that exists."""
    reference = volume.spec.claim_ref
    if reference is None:
        return "Available"
    if not reference.uid:
        return "Available"  # reserved for a claim that may come
    if claim is None or claim.metadata.uid != reference.uid:
        return "Released"
    return "Bound" if claim.spec.volume_name == volume.metadata.name else "Available"


def reclaim_failure(volume: VolumeView) -> tuple[str, str]:
    """The event's reason and message for a released volume that nobody can reclaim; empty when somebody can."""
    policy, maker = (
        volume.spec.persistent_volume_reclaim_policy,
        (volume.metadata.annotations or {}).get(PROVISIONED_BY),
    )
    if policy == "Recycle":
        return "VolumeFailedRecycle", "No recycler plugin found for the volume!"
    if policy == "Delete" and not maker:
        name = volume.metadata.name
        why = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
        return "VolumeFailedDelete", why
    return "", ""


def chosen_hostnames(volume: VolumeView) -> tuple[str, ...]:
    """The nodes a local-path volume is on."""
    affinity = volume.spec.node_affinity
    terms = affinity.required.node_selector_terms if affinity and affinity.required else ()
    return tuple(
        value
        for term in terms
        for expression in term.match_expressions or ()
        if expression.key == _HOSTNAME
        for value in expression.values or ()
    )
