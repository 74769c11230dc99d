"""Volumes: the loops that carry out `binding`, provision local directories, and protect what is in use.

The hand-off to the nodes: a volume made here carries the finalizer `motet.dev/local-path`. The agent on its node makes
the directory when a pod first mounts it; when the volume is deleted (its claim went and the policy is Delete) the agent
removes the data and then the finalizer. If that node no longer exists, the data went with it and the finalizer is taken
off here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from motet.base import quantity, timestamps
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, NotFound
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import binding, podview
from motet.controllers.binding import ClaimView, ClassView, Do, Step, VolumeView
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.controllers.podview import PodView
from motet.kinds import node as node_kind
from motet.kinds import persistentvolume as volume_kind
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.kinds import storageclass as class_kind
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

LOCAL_PATH = "local-path"


class _ClaimSource(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    claim_name: str = ""


class _Anything(msgspec.Struct, gc=False, frozen=True):
    pass


class _PodVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    persistent_volume_claim: _ClaimSource | None = None
    ephemeral: _Anything | None = None


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    volumes: tuple[_PodVolume, ...] | None = None


class _PodVolumes(msgspec.Struct, gc=False, frozen=True):
    spec: _PodSpec = _PodSpec()


def claims_of(pod: Document) -> set[str]:
    """The names of the claims a pod mounts."""
    volumes = pod.view(_PodVolumes).spec.volumes or ()
    named = {each.persistent_volume_claim.claim_name for each in volumes if each.persistent_volume_claim}
    return named | {f"{pod.name}-{each.name}" for each in volumes if each.ephemeral}


def holds(pod: Document, claim: Document) -> bool:
    """Whether a claim is in use by a pod: one that has a node and has not ended.

    A pod without a node does not count: no node starts one whose claim is being deleted.
    """
    view = pod.view(_PodVolumes).spec
    if not view.node_name or podview.is_finished(pod.view(PodView)):
        return False
    if any(
        each.persistent_volume_claim and each.persistent_volume_claim.claim_name == claim.name
        for each in view.volumes or ()
    ):
        return True
    owner = claim.meta.controller()
    own = owner is not None and owner.uid == pod.meta.uid
    return own and any(each.ephemeral and f"{pod.name}-{each.name}" == claim.name for each in view.volumes or ())


def _conditions(claim: Document) -> list[dict[str, Any]]:
    return list((claim.decode().get("status") or {}).get("conditions") or ())


async def ensure_default_class(client: Client) -> None:
    """Make the default storage class `local-path`, unless a class of that name or another default is there."""
    classes = await client.table(class_kind.KIND)
    has_default = any((each.meta.annotations or {}).get(binding.DEFAULT_CLASS) == "true" for each in classes)
    if classes.get(LOCAL_PATH) is not None:
        return
    metadata: dict[str, Any] = {"name": LOCAL_PATH}
    if not has_default:
        metadata["annotations"] = {binding.DEFAULT_CLASS: "true"}
    document = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata,
        "provisioner": binding.PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    with contextlib.suppress(AlreadyExists):
        await client.create(class_kind.KIND, document)


class Volumes:
    """The loop over claims and volumes. Keys are (namespace, claim) or ("", volume)."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder, directory: str) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._directory = directory
        self._claims: Table
        self._volumes: Table
        self._classes: Table
        self._nodes: Table
        self._pods: Table
        self._loop: Controller[ObjectKey]

    async def run(self) -> None:
        """Bind, provision, release and protect until cancelled."""
        await ensure_default_class(self._client)
        self._claims = await self._client.table(claim_kind.KIND)
        self._volumes = await self._client.table(volume_kind.KIND)
        self._classes = await self._client.table(class_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        # One at a time: two claims must not reserve one volume.
        self._loop = Controller("volume", self.reconcile, clock=self._clock, parallelism=1)
        self._loop.watch(self._claims, self._claim_changed)
        self._loop.watch(self._volumes, self._volume_changed)
        self._loop.watch(self._classes, lambda old, new: self._unbound())
        self._loop.watch(self._nodes, self._node_changed)
        self._loop.watch(self._pods, self._pod_changed)
        await self._loop.run()

    def _unbound(self) -> list[ObjectKey]:
        return [(each.namespace, each.name) for each in self._claims if not each.view(ClaimView).spec.volume_name]

    def _claim_changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        yield from own_key(old, new)
        document = new or old
        if document is not None and (volume := document.view(ClaimView).spec.volume_name):
            yield "", volume

    def _volume_changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        yield from own_key(old, new)
        document = new or old
        reference = document.view(VolumeView).spec.claim_ref if document else None
        if reference is not None:
            yield reference.namespace, reference.name
        if new is not None and reference is None:
            yield from self._unbound()

    def _node_changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        if new is None:
            yield from (("", each.name) for each in self._volumes if each.meta.deletion_timestamp is not None)
            yield from self._unbound()

    def _pod_changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """A pod that ended may have been the last to hold a claim."""
        pod = new or old
        if old is None or pod is None or (new is not None and not podview.is_finished(new.view(PodView))):
            return
        for name in claims_of(pod):
            yield pod.namespace, name

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one claim or volume."""
        namespace, name = key
        if not namespace:
            await self._look_at_volume(name)
            return None
        document = self._claims.get(name, namespace)
        if document is None:
            return None
        if document.meta.deletion_timestamp is not None:
            await self._let_go(document)
        elif binding.CLAIM_PROTECTION not in (document.meta.finalizers or ()):
            await self._finalizers(claim_kind.KIND, document, add=binding.CLAIM_PROTECTION)
        elif not await self._given_default_class(document):
            await self._bind(document)
        return None

    async def _let_go(self, claim: Document) -> None:
        """A deleted claim stays until no pod uses it."""
        if binding.CLAIM_PROTECTION not in (claim.meta.finalizers or ()):
            return
        if any(holds(pod, claim) for pod in self._pods.select(claim.namespace)):
            return
        await self._finalizers(claim_kind.KIND, claim, remove=binding.CLAIM_PROTECTION)

    async def _given_default_class(self, claim: Document) -> bool:
        """A claim that says nothing about its class gets the default one (also when that came later)."""
        view = claim.view(ClaimView)
        if view.spec.storage_class_name is not None or view.spec.volume_name:
            return False
        defaults = [
            each for each in self._classes if (each.meta.annotations or {}).get(binding.DEFAULT_CLASS) == "true"
        ]
        if not defaults:
            return False
        newest = max(defaults, key=lambda each: (each.meta.creation_timestamp or "", each.name))
        await self._patch_claim(view, {"spec": {"storageClassName": newest.name}})
        return True

    async def _bind(self, document: Document) -> None:
        claim = document.view(ClaimView)
        storage_class = self._class_of(claim)
        step = binding.next_step(
            claim,
            {each.name: each.view(VolumeView) for each in self._volumes},
            storage_class,
            self._node_of(claim),
        )
        about = About.document(document, "v1", "PersistentVolumeClaim")
        match step:
            case Step(Do.RESERVE, VolumeView() as volume):
                reference = binding.claim_reference(claim.metadata)
                patch = {
                    "spec": {"claimRef": reference},
                    "metadata": {"resourceVersion": volume.metadata.resource_version},
                }
                await self._client.patch(volume_kind.KIND, volume.metadata.name, patch)
            case Step(Do.TAKE, VolumeView() as volume):
                marks = {binding.BIND_COMPLETED: "yes", binding.BOUND_BY_CONTROLLER: "yes"}
                await self._patch_claim(
                    claim, {"metadata": {"annotations": marks}, "spec": {"volumeName": volume.metadata.name}}
                )
            case Step(Do.REPORT, VolumeView() as volume):
                await self._report(document, claim, volume)
            case Step(Do.ANNOUNCE):
                await self._announce(document)
            case Step(Do.EXPAND, VolumeView() as volume):
                patch = {
                    "metadata": {"resourceVersion": volume.metadata.resource_version},
                    "spec": {"capacity": {"storage": claim.size()}},
                }
                await self._client.patch(volume_kind.KIND, volume.metadata.name, patch)
            case Step(Do.DEFER, VolumeView() as volume):
                self._events.event(about, NORMAL, step.reason, step.message)
                await self._report(document, claim, volume)
            case Step(Do.PROVISION) if storage_class is not None:
                await self._provision(claim, storage_class, about)
            case Step(Do.ASK) if storage_class is not None:
                asked = dict.fromkeys(binding.ASKED, storage_class.provisioner)
                await self._patch_claim(claim, {"metadata": {"annotations": asked}})
            case Step(Do.LOSE):
                await self._write_claim_status(document, {"phase": "Lost"})
                self._events.event(about, WARNING, "ClaimLost", step.message)
            case Step(Do.GIVE_BACK):
                self._events.event(about, WARNING, step.reason, step.message)
                await self._patch_claim(claim, {"metadata": {"annotations": {binding.SELECTED_NODE: None}}})
            case Step(Do.WAIT) if step.reason:
                good = step.reason in ("WaitForFirstConsumer", "ExternalProvisioning")
                self._events.event(about, NORMAL if good else WARNING, step.reason, step.message)

    def _class_of(self, claim: ClaimView) -> ClassView | None:
        name = claim.spec.storage_class_name
        found = self._classes.get(name) if name else None
        return found.view(ClassView) if found else None

    def _node_of(self, claim: ClaimView) -> binding.Node | None:
        found = self._nodes.get(claim.annotation(binding.SELECTED_NODE))
        return binding.Node(found.name, found.meta.labels or {}) if found else None

    async def _patch_claim(self, claim: ClaimView, patch: dict[str, Any]) -> None:
        meta = claim.metadata
        patch["metadata"] = {**patch.get("metadata", {}), "resourceVersion": meta.resource_version}
        await self._client.patch(claim_kind.KIND, meta.name, patch, meta.namespace)

    async def _provision(self, claim: ClaimView, storage_class: ClassView, about: About) -> None:
        node = claim.annotation(binding.SELECTED_NODE)
        document = binding.provisioned(claim, storage_class, node, self._directory)
        with contextlib.suppress(AlreadyExists):
            await self._client.create(volume_kind.KIND, document)
        name = document["metadata"]["name"]
        self._events.event(about, NORMAL, "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    async def _report(self, document: Document, claim: ClaimView, volume: VolumeView) -> None:
        now, ours = claim.status, binding.is_ours(volume)
        # Once a claim is bound, the driver of a volume that is not ours says when it has grown.
        capacity = volume.spec.capacity if ours or now.phase != "Bound" else now.capacity
        status: dict[str, Any] = {
            "phase": "Bound",
            "accessModes": list(volume.spec.access_modes or ()),
            "capacity": {key: str(value) for key, value in (capacity or {}).items()},
        }
        grown = ours and claim.resizing() and quantity.parse(volume.size()) >= quantity.parse(claim.size())
        if (now.phase, list(now.access_modes or ()), now.capacity) != tuple(status.values()) or grown:
            if grown:
                kept = [each for each in _conditions(document) if each["type"] not in binding.RESIZE_CONDITIONS]
                status["conditions"] = kept or None
            await self._write_claim_status(document, status)
        if grown:
            about = About.document(document, "v1", "PersistentVolumeClaim")
            self._events.event(about, NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _announce(self, document: Document) -> None:
        now = timestamps.format_time(self._clock.now())
        begun = {"type": binding.RESIZING, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        await self._write_claim_status(document, {"conditions": [*_conditions(document), begun]})

    async def _write_claim_status(self, document: Document, status: dict[str, Any]) -> None:
        changed = document.decode()
        if all((changed.get("status") or {}).get(key) == value for key, value in status.items()):
            return
        changed["status"] = {**(changed.get("status") or {}), **status}
        await self._client.update(claim_kind.KIND, changed, subresource="status")

    async def _look_at_volume(self, name: str) -> None:
        document = self._volumes.get(name)
        if document is None:
            return
        volume = document.view(VolumeView)
        reference = volume.spec.claim_ref
        found = self._claims.get(reference.name, reference.namespace) if reference else None
        phase = binding.phase(volume, found.view(ClaimView) if found else None)
        finalizers = document.meta.finalizers or ()
        if document.meta.deletion_timestamp is not None:
            if binding.VOLUME_PROTECTION in finalizers and phase != "Bound":
                await self._finalizers(volume_kind.KIND, document, remove=binding.VOLUME_PROTECTION)
            elif binding.LOCAL_PATH_FINALIZER in finalizers and self._node_is_gone(volume):
                await self._finalizers(volume_kind.KIND, document, remove=binding.LOCAL_PATH_FINALIZER)
            return
        if binding.VOLUME_PROTECTION not in finalizers:
            await self._finalizers(volume_kind.KIND, document, add=binding.VOLUME_PROTECTION)
            return
        reason, message = binding.reclaim_failure(volume) if phase == "Released" else ("", "")
        status = {"phase": "Failed" if reason else phase, "message": message or None}
        if (status["phase"], message) != (volume.status.phase, volume.status.message):
            changed = document.decode()
            if status["phase"] != volume.status.phase:
                status["lastPhaseTransitionTime"] = timestamps.format_time(self._clock.now())
            changed["status"] = {**(changed.get("status") or {}), **status}
            await self._client.update(volume_kind.KIND, changed, subresource="status")
            if reason:
                self._events.event(About.document(document, "v1", "PersistentVolume"), WARNING, reason, message)
        elif phase == "Released" and volume.spec.persistent_volume_reclaim_policy == "Delete":
            await self._reclaim(document)

    async def _reclaim(self, volume: Document) -> None:
        """What another made is for that one to delete."""
        if binding.is_ours(volume.view(VolumeView)):
            with contextlib.suppress(NotFound):
                await self._client.delete(volume_kind.KIND, volume.name, uid=volume.meta.uid)

    def _node_is_gone(self, volume: VolumeView) -> bool:
        names = binding.chosen_hostnames(volume)
        return bool(names) and all(self._nodes.get(name) is None for name in names)

    async def _finalizers(self, kind: Kind, document: Document, *, add: str = "", remove: str = "") -> None:
        kept = [each for each in document.meta.finalizers or () if each != remove]
        if add:
            kept.append(add)
        patch = {"metadata": {"resourceVersion": document.meta.resource_version, "finalizers": kept or None}}
        with contextlib.suppress(NotFound):
            await self._client.patch(kind, document.name, patch, document.namespace)
