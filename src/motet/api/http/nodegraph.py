"""What each node's pods use: the object graph behind the node authorizer (Kubernetes "Using Node Authorization").

Kept by listening to the tables, so that a decision is a look-up and never a walk: a pod bound to a node adds what it names, a pod
that is gone takes it away, and what two pods name is counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import msgspec

from motet.api.podreferences import CLAIMS, Reference, references
from motet.kinds.ingress import CLASS_ANNOTATION
from motet.kinds.ingressclass import OURS
from motet.store.cache import Cache
from motet.store.document import Document

_HOSTNAME = "kubernetes.io/hostname"
_TLS = "kubernetes.io/tls"


class _SecretName(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    secret_name: str = ""


class _PodNode(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class _PodNodeView(msgspec.Struct, gc=False, frozen=True):
    spec: _PodNode = _PodNode()


class _ClaimSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    volume_name: str = ""


class _ClaimView(msgspec.Struct, gc=False, frozen=True):
    spec: _ClaimSpec = _ClaimSpec()


class _ClaimRef(msgspec.Struct, gc=False, frozen=True):
    namespace: str = ""
    name: str = ""


class _Expression(msgspec.Struct, gc=False, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class _Term(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    match_expressions: tuple[_Expression, ...] | None = None


class _Required(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_selector_terms: tuple[_Term, ...] | None = None


class _Affinity(msgspec.Struct, gc=False, frozen=True):
    required: _Required | None = None


class _SecretReference(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""


class _CsiSource(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """The secrets that a driver needs on the node; those of its controller are not for nodes."""

    node_stage_secret_ref: _SecretReference | None = None
    node_publish_secret_ref: _SecretReference | None = None
    node_expand_secret_ref: _SecretReference | None = None


class _VolumeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    csi: _CsiSource | None = None
    claim_ref: _ClaimRef | None = None
    node_affinity: _Affinity | None = None


class _VolumeView(msgspec.Struct, gc=False, frozen=True):
    spec: _VolumeSpec = _VolumeSpec()


class _AttachmentSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class _AttachmentView(msgspec.Struct, gc=False, frozen=True):
    spec: _AttachmentSpec = _AttachmentSpec()


class _Typed(msgspec.Struct, gc=False, frozen=True):
    type: str = ""


class _IngressSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    ingress_class_name: str = ""
    tls: tuple[_SecretName, ...] | None = None


class _IngressView(msgspec.Struct, gc=False, frozen=True):
    spec: _IngressSpec = _IngressSpec()


class _ClassSpec(msgspec.Struct, gc=False, frozen=True):
    controller: str = ""


class _ClassView(msgspec.Struct, gc=False, frozen=True):
    spec: _ClassSpec = _ClassSpec()


class _EventSource(msgspec.Struct, gc=False, frozen=True):
    host: str = ""


class _EventView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    source: _EventSource | None = None
    reporting_instance: str | None = None


class NodeGraph:
    """Answers in constant time what belongs to which node. Reads the cache's tables; the cache must be started."""

    def __init__(self, cache: Cache) -> None:
        self._pods = cache.table("core/pods")
        self._claims = cache.table("core/persistentvolumeclaims")
        self._volumes = cache.table("core/persistentvolumes")
        self._events = cache.table("core/events")
        self._secrets = cache.table("core/secrets")
        self._ingresses = cache.table("networking.k8s.io/ingresses")
        self._classes = cache.table("networking.k8s.io/ingressclasses")
        self._attachments = cache.table("storage.k8s.io/volumeattachments")
        # Which volumes need a secret (namespace, name) on their node.
        self._opened_by: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._uses: defaultdict[str, Counter[Reference]] = defaultdict(Counter)
        self._unlisten: list[Callable[[], None]] = [self._pods.listen(self._changed)]
        self._unlisten.append(self._volumes.listen(self._volume_changed))
        for pod in self._pods:
            self._changed(None, pod)
        for volume in self._volumes:
            self._volume_changed(None, volume)

    def close(self) -> None:
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()

    def node_of(self, namespace: str, pod: str) -> str | None:
        """The node a pod is bound to, empty when it is bound to none; None when there is no such pod."""
        found = self._pods.get(pod, namespace)
        return None if found is None else found.view(_PodNodeView).spec.node_name

    def uses(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod bound to `node` names this object."""
        used = self._uses.get(node)
        return used is not None and (resource, namespace, name) in used

    def serves(self, namespace: str, secret: str) -> bool:
        """Whether a Secret is the certificate of an Ingress that every node serves. Only certificates can be."""
        found = self._secrets.get(secret, namespace)
        if found is None or found.view(_Typed).type != _TLS:
            return False
        for ingress in self._ingresses.select(namespace):
            spec = ingress.view(_IngressView).spec
            name = spec.ingress_class_name or (ingress.meta.annotations or {}).get(CLASS_ANNOTATION, "")
            of_class = self._classes.get(name) if name else None
            is_ours = of_class is not None and of_class.view(_ClassView).spec.controller == OURS
            if is_ours and any(tls.secret_name == secret for tls in spec.tls or ()):
                return True
        return False

    def volume_of(self, node: str, name: str) -> bool:
        """Whether a persistent volume lies on `node`, or serves a claim that a pod there uses."""
        found = self._volumes.get(name)
        if found is None:
            return False
        ref = found.view(_VolumeView).spec.claim_ref
        if ref is not None and self.uses(node, CLAIMS, ref.namespace, ref.name):
            claim = self._claims.get(ref.name, ref.namespace)
            if claim is not None and claim.view(_ClaimView).spec.volume_name == name:
                return True
        return self.lies_on(node, found)

    def leaving_volume_of(self, node: str, name: str) -> bool:
        """Whether a persistent volume lies on `node` and waits there for its data to be removed."""
        found = self._volumes.get(name)
        return found is not None and found.meta.deletion_timestamp is not None and self.lies_on(node, found)

    def opens(self, node: str, namespace: str, secret: str) -> bool:
        """Whether a volume that a pod on `node` has needs the secret there."""
        return any(self.volume_of(node, name) for name in self._opened_by.get((namespace, secret), ()))

    def attachment_of(self, node: str, name: str) -> bool:
        """Whether `name` is the attachment of a volume to `node`. One that is not there may be asked for: it tells nothing."""
        found = self._attachments.get(name)
        return found is None or found.view(_AttachmentView).spec.node_name == node

    def _volume_changed(self, old: Document | None, new: Document | None) -> None:
        for key in _secrets(old) - _secrets(new):
            self._opened_by[key].discard(old.name if old is not None else "")
            if not self._opened_by[key]:
                del self._opened_by[key]
        for key in _secrets(new):
            self._opened_by[key].add(new.name if new is not None else "")

    @staticmethod
    def lies_on(node: str, volume: Document) -> bool:
        """Whether a volume's data is on one node only, and that is `node`."""
        affinity = volume.view(_VolumeView).spec.node_affinity
        terms = (affinity.required.node_selector_terms or ()) if affinity and affinity.required else ()
        return bool(terms) and all(
            any(
                each.key == _HOSTNAME and each.operator == "In" and each.values == (node,)
                for each in term.match_expressions or ()
            )
            for term in terms
        )

    def event_from(self, node: str, namespace: str, name: str) -> bool | None:
        """Whether `node` told an event; None when there is no such event."""
        found = self._events.get(name, namespace)
        if found is None:
            return None
        view = found.view(_EventView)
        return node in (view.source.host if view.source else "", view.reporting_instance)

    def _changed(self, old: Document | None, new: Document | None) -> None:
        before = old.view(_PodNodeView).spec.node_name if old is not None else ""
        after = new.view(_PodNodeView).spec.node_name if new is not None else ""
        if old is not None and new is not None and before == after and _same_spec(old, new):
            return
        if old is not None and before:
            self._count(before, references(old), -1)
        if new is not None and after:
            self._count(after, references(new), 1)

    def _count(self, node: str, found: frozenset[Reference], by: int) -> None:
        used = self._uses[node]
        for reference in found:
            used[reference] += by
            if not used[reference]:
                del used[reference]
        if not used:
            del self._uses[node]


def _secrets(volume: Document | None) -> set[tuple[str, str]]:
    csi = volume.view(_VolumeView).spec.csi if volume is not None else None
    if csi is None:
        return set()
    named = (csi.node_stage_secret_ref, csi.node_publish_secret_ref, csi.node_expand_secret_ref)
    return {(each.namespace, each.name) for each in named if each is not None and each.name}


def _same_spec(old: Document, new: Document) -> bool:
    """Whether only the status or the labels of a pod changed: its generation counts changes of the rest."""
    was, now = old.meta, new.meta
    return bool(now.generation) and (now.uid, now.generation) == (was.uid, was.generation)
