"""What a node may not write even where it may write (Kubernetes "NodeRestriction").

The authorizer lets an agent at its own objects; this keeps it from making more of them than it should: labels that attract
other people's pods, taints, events in another's name.
"""

from __future__ import annotations

from motet.api import podreferences
from motet.api.admission import Plugin, Request, is_mirror, refusal
from motet.api.users import NODE_PREFIX, NODES
from motet.kinds.kind import Json
from motet.kinds.node import WIREGUARD_KEY
from motet.kinds.podspec.mirror import MIRROR

# What an agent tells of its machine.
_OWN_LABELS = frozenset({"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"})
# What a driver for volumes may tell of the place, once: nobody's pods are drawn away from where they were.
_PLACE = frozenset({"topology.kubernetes.io/region", "topology.kubernetes.io/zone"})
_RESERVED = ("kubernetes.io", "k8s.io", "motet.dev")


def node_restriction(request: Request) -> None:
    """Raises Forbidden."""
    if NODES not in request.user.groups:
        return
    node = request.user.name.removeprefix(NODE_PREFIX)
    match request.kind.resource:
        case "core/nodes":
            _own_node(request)
        case "core/pods" if request.verb == "CREATE":
            _only_reflections(request, node)
        case "core/pods":
            _only_status(request)
        case "core/persistentvolumes":
            _only_finalizers(request)
        case "core/persistentvolumeclaims":
            _only_growth(request)
        case "storage.k8s.io/csinodes":
            if request.name != node:
                raise refusal(request, f"node {node!r} has one CSINode, named after it")
        case "coordination.k8s.io/leases":
            if request.name != node:
                raise refusal(request, f"node {node!r} has one lease, named after it")
        case _:
            _own_event(request, node)


def _own_node(request: Request) -> None:
    old, new = request.old or {}, request.new or {}
    if (old.get("spec") or {}) != (new.get("spec") or {}):
        raise refusal(request, "a node may not change its own spec")
    was, now = old.get("metadata") or {}, new.get("metadata") or {}
    for part in ("ownerReferences", "finalizers"):
        if was.get(part) != now.get(part):
            raise refusal(request, f"a node may not change its own metadata.{part}")
    _own_key(request, was, now)
    before, after = was.get("labels") or {}, now.get("labels") or {}
    for key in before.keys() | after.keys():
        first = key in _PLACE and key not in before
        if before.get(key) != after.get(key) and key not in _OWN_LABELS and not first and _reserved(key):
            raise refusal(request, f"a node may not change its own label {key}")


def _own_key(request: Request, was: Json, now: Json) -> None:
    """With another node's key it could not read that one's packets, but its peers would not know whom to send them to."""
    key = (now.get("annotations") or {}).get(WIREGUARD_KEY)
    if not key or key == (was.get("annotations") or {}).get(WIREGUARD_KEY):
        return
    for other in request.lookup("core/nodes"):
        if other.name != request.name and (other.meta.annotations or {}).get(WIREGUARD_KEY) == key:
            raise refusal(request, f"metadata.annotations[{WIREGUARD_KEY}]: it is the key of another node")


def _only_reflections(request: Request, node: str) -> None:
    """A node makes no pods; it shows those that it runs of its own accord."""
    pod = request.new or {}
    # Only those are certain to be here in full.
    if not is_mirror(pod):
        why = f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
        raise refusal(request, why)
    spec, owners = pod.get("spec") or {}, (pod.get("metadata") or {}).get("ownerReferences") or ()
    if spec.get("nodeName") != node:
        raise refusal(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
    if [(owner.get("kind"), owner.get("name"), owner.get("uid")) for owner in owners] != [
        ("Node", node, _uid_of(request, node))
    ]:
        raise refusal(request, f'node "{node}" can only create pods with an owner reference set to itself')
    # It would let the node read them: a node may read what the pods bound to it name.
    for part, (resource, _, _) in podreferences.named(pod):
        raise refusal(request, f'node "{node}" can not create pods that reference {resource}, as {part} does')


def _uid_of(request: Request, node: str) -> str:
    found = request.lookup("core/nodes").get(node)
    return found.meta.uid if found is not None else ""


def _only_status(request: Request) -> None:
    was, now = (request.old or {}).get("metadata") or {}, (request.new or {}).get("metadata") or {}
    for part in ("labels", "annotations"):
        if was.get(part) != now.get(part):
            raise refusal(request, f"a node may not change metadata.{part} of a pod along with its status")


def _reserved(label: str) -> bool:
    prefix, slash, _ = label.partition("/")
    return bool(slash) and any(prefix == each or prefix.endswith(f".{each}") for each in _RESERVED)


def _only_finalizers(request: Request) -> None:
    if _without_finalizers(request.old) != _without_finalizers(request.new):
        raise refusal(request, "a node may change nothing of a volume but its finalizers")


def _only_growth(request: Request) -> None:
    if _without_growth(request.old) != _without_growth(request.new):
        raise refusal(request, "a node may change nothing of a claim but its status.capacity and status.conditions")


def _without_growth(document: Json | None) -> Json:
    found = _without_finalizers(document)
    status = {key: value for key, value in (found.get("status") or {}).items() if key not in ("capacity", "conditions")}
    return {**found, "status": status, "finalizers": ((document or {}).get("metadata") or {}).get("finalizers")}


def _without_finalizers(document: Json | None) -> Json:
    document = document or {}
    metadata = {
        key: value
        for key, value in (document.get("metadata") or {}).items()
        if key not in ("finalizers", "managedFields", "resourceVersion", "generation")
    }
    return {**document, "metadata": metadata}


def _own_event(request: Request, node: str) -> None:
    new = request.new or {}
    source = new.get("source") or new.get("deprecatedSource") or {}
    if node not in (source.get("host"), new.get("reportingInstance")):
        raise refusal(request, f"node {node!r} may tell events only in its own name")


NODE_RESTRICTION = (
    # Writes of nothing but a status need not be seen.
    Plugin(
        "NodeRestriction",
        node_restriction,
        resources=("core/nodes", "core/pods", "core/persistentvolumes", "core/persistentvolumeclaims"),
        verbs=("UPDATE",),
        subresources=True,
        template_safe=True,
    ),
    Plugin(
        "NodeRestriction",
        node_restriction,
        resources=("coordination.k8s.io/leases", "core/events", "events.k8s.io/events", "storage.k8s.io/csinodes"),
        verbs=("CREATE",),
    ),
    Plugin("NodeRestriction", node_restriction, resources=("core/pods",), verbs=("CREATE",), template_safe=True),
)
