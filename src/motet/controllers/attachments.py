"""Attaching volumes to nodes, and detaching them (Kubernetes "VolumeAttachment"; upstream's attach/detach controller).

A pod on a node that has a volume of a CSI driver with `attachRequired` gets a VolumeAttachment; the driver's attacher, an
ordinary client, does the work and says so in its status. The attachment goes when no pod on the node wants the volume and the
node says (`status.volumesInUse`) that it has it no more; without the node's word only when the node is gone, was taken out of
service, or has been silent for six minutes. A volume for one node is not attached to a second one before that.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, NotFound
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.loop import Controller
from motet.controllers.nodes import NodeView
from motet.controllers.podview import PodView
from motet.controllers.volumes import claims_of
from motet.kinds import csidriver as driver_kind
from motet.kinds import node as node_kind
from motet.kinds import persistentvolume as volume_kind
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.kinds import volumeattachment as attachment_kind
from motet.store.document import Document, Meta
from motet.store.table import Table

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
# How long a silent node is waited for before its volumes are taken from it, in seconds; upstream's six minutes.
_PATIENCE = 360.0
# A claim that is not bound yet is looked at again after so many seconds.
_UNBOUND = 2.0
_SHARED = frozenset({"ReadOnlyMany", "ReadWriteMany"})


class _Csi(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    driver: str
    volume_handle: str


class _VolumeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    csi: _Csi | None = None
    access_modes: tuple[str, ...] | None = None


class _VolumeView(msgspec.Struct, gc=False, frozen=True):
    spec: _VolumeSpec = _VolumeSpec()


class _ClaimSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    volume_name: str = ""


class _ClaimView(msgspec.Struct, gc=False, frozen=True):
    spec: _ClaimSpec = _ClaimSpec()


class _DriverSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    attach_required: bool = True


class _DriverView(msgspec.Struct, gc=False, frozen=True):
    spec: _DriverSpec = _DriverSpec()


class _Source(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    persistent_volume_name: str = ""


class _AttachmentSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    attacher: str = ""
    node_name: str = ""
    source: _Source = _Source()


class _Error(msgspec.Struct, gc=False, frozen=True):
    message: str = ""


class _AttachmentStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    attached: bool = False
    attach_error: _Error | None = None


class AttachmentView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _AttachmentSpec = _AttachmentSpec()
    status: _AttachmentStatus = _AttachmentStatus()


class _InUse(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    volumes_in_use: tuple[str, ...] | None = None


class _InUseView(msgspec.Struct, gc=False, frozen=True):
    status: _InUse = _InUse()


@dataclass(frozen=True, slots=True)
class Wish:
    """A volume that a pod on a node wants attached there. `shared`: to several nodes at a time, if need be."""

    volume: str
    driver: str
    handle: str
    shared: bool = False

    def named(self, node: str) -> str:
        """The attachment's name, which the node and attachers work out as well."""
        return f"csi-{hashlib.sha256(f'{self.handle}{self.driver}{node}'.encode()).hexdigest()}"

    @property
    def unique(self) -> str:
        return f"kubernetes.io/csi/{self.driver}^{self.handle}"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What a node says. `lost`: nobody needs to wait for it; `silent_for` is 0 for one that is well, in seconds."""

    in_use: Collection[str] = ()
    lost: bool = False
    silent_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Attachments to make and to delete, wishes that another node stands in the way of, and when to look again, in seconds."""

    attach: tuple[Wish, ...] = ()
    detach: tuple[str, ...] = ()
    blocked: tuple[Wish, ...] = ()
    look_in: float | None = None


def decide(
    node: str, wishes: Iterable[Wish], held: Mapping[str, str], state: NodeState, elsewhere: Collection[str]
) -> Plan:
    """`held` are the node's attachments that nobody is deleting yet, each with its volume's unique name.

    `elsewhere` are the volumes (their names) that are, or are becoming, attached to other nodes.
    """
    wanted = {wish.named(node): wish for wish in wishes}
    new = [wish for name, wish in sorted(wanted.items()) if name not in held]
    blocked = tuple(wish for wish in new if not wish.shared and wish.volume in elsewhere)
    free, look_in = [], None
    for name, unique in sorted(held.items()):
        if name in wanted:
            continue
        if unique not in state.in_use or state.lost or state.silent_for >= _PATIENCE:
            free.append(name)
        elif state.silent_for > 0:
            look_in = max(1.0, _PATIENCE - state.silent_for)
    return Plan(tuple(wish for wish in new if wish not in blocked), tuple(free), blocked, look_in)


class Attachments:
    """The loop; its keys are names of nodes."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._pods: Table
        self._claims: Table
        self._volumes: Table
        self._drivers: Table
        self._nodes: Table
        self._held: Table
        # Pods with claims, by node: what would otherwise be a walk over all pods.
        self._users: dict[str, set[tuple[str, str]]] = {}
        self._silent_since: dict[str, float] = {}
        self._blocked: set[str] = set()

    async def run(self) -> None:
        """Attach and detach until cancelled."""
        self._pods = await self._client.table(pod_kind.KIND)
        self._claims = await self._client.table(claim_kind.KIND)
        self._volumes = await self._client.table(volume_kind.KIND)
        self._drivers = await self._client.table(driver_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        self._held = await self._client.table(attachment_kind.KIND)
        self._users.clear()
        loop: Controller[str] = Controller("attach-detach", self.reconcile, clock=self._clock)
        loop.watch(self._pods, self._pod_changed)
        loop.watch(self._nodes, self._node_changed)
        loop.watch(self._held, self._attachment_changed)
        loop.watch(self._drivers, lambda old, new: list(self._users))
        await loop.run()

    def _pod_changed(self, old: Document | None, new: Document | None) -> Iterable[str]:
        before, after = _whose(old), _whose(new)
        if before == after and old is not None:
            return
        if old is not None and before:
            self._users.get(before, set()).discard((old.namespace, old.name))
            yield before
        if new is not None and after:
            self._users.setdefault(after, set()).add((new.namespace, new.name))
            yield after

    def _node_changed(self, old: Document | None, new: Document | None) -> Iterable[str]:
        document = new or old
        if document is None or old is None or new is None or _said(old) != _said(new):
            yield from () if document is None else (document.name,)

    def _attachment_changed(self, old: Document | None, new: Document | None) -> Iterable[str]:
        document = new or old
        if document is None:
            return
        yield document.view(AttachmentView).spec.node_name
        if new is None:
            # Whoever waited for the volume can have it now.
            yield from self._blocked
        elif old is not None:
            self._tell(old.view(AttachmentView).status, new.view(AttachmentView))

    async def reconcile(self, node: str) -> float | None:
        """One look at one node."""
        wishes, unbound = self._wishes(node)
        held, elsewhere = {}, set()
        for each in self._held:
            view = each.view(AttachmentView)
            if view.spec.node_name != node:
                elsewhere.add(view.spec.source.persistent_volume_name)
            elif each.meta.deletion_timestamp is None and (unique := self._unique(view)):
                held[each.name] = unique
        plan = decide(node, wishes, held, self._state(node), elsewhere)
        (self._blocked.add if plan.blocked else self._blocked.discard)(node)
        for wish in plan.blocked:
            taken = "Volume is already exclusively attached to one node and can't be attached to another"
            why = f'Multi-Attach error for volume "{wish.volume}" {taken}'
            self._say(node, wish.volume, WARNING, "FailedAttachVolume", why)
        for wish in plan.attach:
            with contextlib.suppress(AlreadyExists):
                await self._client.create(attachment_kind.KIND, _document(node, wish))
        for name in plan.detach:
            with contextlib.suppress(NotFound):
                await self._client.delete(attachment_kind.KIND, name)
        waits = [each for each in (plan.look_in, _UNBOUND if unbound else None) if each is not None]
        return min(waits, default=None)

    def _wishes(self, node: str) -> tuple[Sequence[Wish], bool]:
        """What the pods of a node want, and whether a claim of theirs is not bound yet."""
        if node not in self._users or self._nodes.get(node) is None:
            return [], False
        found: dict[str, Wish] = {}
        unbound = False
        for namespace, name in self._users[node]:
            pod = self._pods.get(name, namespace)
            for claim in claims_of(pod) if pod is not None else ():
                volume = self._behind(claim, namespace)
                if volume is None:
                    unbound = True
                elif (wish := self._wish(volume)) is not None:
                    found[wish.volume] = wish
        return list(found.values()), unbound

    def _behind(self, claim: str, namespace: str) -> Document | None:
        found = self._claims.get(claim, namespace)
        return self._volumes.get(found.view(_ClaimView).spec.volume_name) if found is not None else None

    def _wish(self, volume: Document) -> Wish | None:
        spec = volume.view(_VolumeView).spec
        if spec.csi is None:
            return None
        driver = self._drivers.get(spec.csi.driver)
        if driver is not None and not driver.view(_DriverView).spec.attach_required:
            return None
        shared = bool(_SHARED & set(spec.access_modes or ()))
        return Wish(volume.name, spec.csi.driver, spec.csi.volume_handle, shared)

    def _unique(self, attachment: AttachmentView) -> str:
        """What the node calls the volume of an attachment that this loop made; empty for others' attachments."""
        spec = attachment.spec
        volume = self._volumes.get(spec.source.persistent_volume_name)
        csi = volume.view(_VolumeView).spec.csi if volume is not None else None
        if csi is None:
            return ""
        wish = Wish(spec.source.persistent_volume_name, csi.driver, csi.volume_handle)
        return wish.unique if wish.named(spec.node_name) == attachment.metadata.name else ""

    def _state(self, node: str) -> NodeState:
        found = self._nodes.get(node)
        if found is None:
            self._silent_since.pop(node, None)
            return NodeState(lost=True)
        view = found.view(NodeView)
        ready = view.ready() == "True"
        out = not ready and any(taint.key == OUT_OF_SERVICE for taint in view.spec.taints or ())
        if ready:
            self._silent_since.pop(node, None)
            silent = 0.0
        else:
            now = self._clock.monotonic()
            silent = max(now - self._silent_since.setdefault(node, now), 0.001)
        return NodeState(found.view(_InUseView).status.volumes_in_use or (), out, silent)

    def _tell(self, before: _AttachmentStatus, now: AttachmentView) -> None:
        """Let the pods that wait hear how it went."""
        volume = now.spec.source.persistent_volume_name
        if now.status.attached and not before.attached:
            done = f'AttachVolume.Attach succeeded for volume "{volume}" '
            self._say(now.spec.node_name, volume, NORMAL, "SuccessfulAttachVolume", done)
        elif now.status.attach_error is not None and now.status.attach_error != before.attach_error:
            why = f'AttachVolume.Attach failed for volume "{volume}" : {now.status.attach_error.message}'
            self._say(now.spec.node_name, volume, WARNING, "FailedAttachVolume", why)

    def _say(self, node: str, volume: str, kind: str, reason: str, message: str) -> None:
        for namespace, name in self._users.get(node, ()):
            pod = self._pods.get(name, namespace)
            if pod is None:
                continue
            behind = (self._behind(claim, namespace) for claim in claims_of(pod))
            if any(each is not None and each.name == volume for each in behind):
                self._events.event(About.document(pod, "v1", "Pod"), kind, reason, message)


def _whose(pod: Document | None) -> str:
    """The node on which a pod has claims, or an empty string."""
    if pod is None or not (view := pod.view(PodView)).spec.node_name or podview.is_finished(view):
        return ""
    return view.spec.node_name if claims_of(pod) else ""


def _said(node: Document) -> tuple[object, ...]:
    view = node.view(NodeView)
    return node.view(_InUseView).status.volumes_in_use, view.ready(), view.spec.taints


def _document(node: str, wish: Wish) -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": wish.named(node)},
        "spec": {"attacher": wish.driver, "nodeName": node, "source": {"persistentVolumeName": wish.volume}},
    }
