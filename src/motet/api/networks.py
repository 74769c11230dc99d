"""Who may be on which Network, and when a Network may go (Swarm's rules, as admission).

A pod or Service that names a Network must find it, in its own namespace or in one that lets it in; a pod that no workload
manages needs one that is attachable. What was let in stays: only what an update adds is looked at.
"""

from __future__ import annotations

from typing import Any

import msgspec

from motet.api.admission import Plugin, Request, refusal
from motet.api.deletion import NAMESPACES
from motet.base.errors import ApiError, not_found
from motet.kinds import attachments, network, pod
from motet.kinds.attachments import ANNOTATION, NetworkKey
from motet.kinds.catalogue import KINDS
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects
from motet.store.document import Document

_PODS, _SERVICES = pod.KIND.resource, "core/services"
_RESOURCES = {(each.api_version, each.kind): each.resource for each in KINDS}
_SHOWN = 3


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    host_network: bool = False


def joining(request: Request) -> None:
    """Raises Forbidden, NotFound."""
    text = _annotation(request.new)
    if text is None or text == _annotation(request.old):
        return
    before = _named(request, request.old)
    for key in _named(request, request.new):
        if key not in before and (problem := _problem(request, key)) is not None:
            raise problem
    if request.kind.resource == _PODS and _on_host(request.new or {}):
        raise refusal(request, f"a pod with hostNetwork is on no Network; take the annotation {ANNOTATION} away")


def in_use(request: Request) -> None:
    """A Network goes after the pods on it, or with its namespace. Raises Forbidden.

    A pod whose workload went has been given up, whether or not the garbage collector came to it yet.
    """
    namespace = request.lookup(NAMESPACES).get(request.namespace)
    if namespace is not None and namespace.meta.deletion_timestamp is not None:
        return
    key = NetworkKey(request.namespace, request.name)
    users = [
        f"{each.namespace}/{each.name}"
        for each in request.lookup(_PODS)
        if each.meta.deletion_timestamp is None
        and key in attachments.of(each.meta.annotations, each.namespace)
        and not _given_up(request, each)
        and each.view(_PhaseView).status.phase not in ("Succeeded", "Failed")
    ]
    if users:
        more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
        raise refusal(request, f"network {key} is in use by pod {', '.join(users[:_SHOWN])}{more}")


def _given_up(request: Request, of: Document) -> bool:
    """Whether the workload that manages this pod is gone. Of a kind that is not built in that is not known."""
    owner = next((each for each in of.meta.owner_references or () if each.controller), None)
    resource = _RESOURCES.get((owner.api_version, owner.kind)) if owner is not None else None
    if owner is None or resource is None:
        return False
    found = request.lookup(resource).get(owner.name, of.namespace)
    return found is None or found.meta.uid != owner.uid


class _Status(msgspec.Struct, gc=False, frozen=True):
    phase: str = ""


class _PhaseView(msgspec.Struct, gc=False, frozen=True):
    status: _Status = _Status()


def _annotation(document: Json | None) -> Any:
    return mapping(document or {}, "metadata", "annotations").get(ANNOTATION)


def _named(request: Request, document: Json | None) -> attachments.Attachments:
    return attachments.of(mapping(document or {}, "metadata", "annotations"), request.namespace)


def _problem(request: Request, key: NetworkKey) -> ApiError | None:
    found = request.lookup(network.KIND.resource).get(key.name, key.namespace)
    if found is None or found.meta.deletion_timestamp is not None:
        return not_found(network.KIND.group, network.KIND.plural, str(key))
    spec = found.view(network.NetworkView).spec
    if key.namespace != request.namespace and not spec.lets_in(request.namespace):
        return refusal(request, f"network {key} does not let in namespace {request.namespace} (spec.namespaces)")
    owners = objects(request.new or {}, "metadata", "ownerReferences")
    managed = any(owner.get("controller") is True for owner in owners)
    if request.kind.resource == _PODS and not managed and not spec.attachable:
        return refusal(
            request, f"network {key} not manually attachable: no workload manages this pod (spec.attachable)"
        )
    return None


def _on_host(document: Json) -> bool:
    spec = document.get("spec")
    if isinstance(spec, msgspec.Raw):
        return msgspec.json.decode(spec, type=_Spec).host_network
    return isinstance(spec, dict) and spec.get("hostNetwork") is True


NETWORKS = (
    Plugin("Networks", joining, resources=(_PODS, _SERVICES), verbs=("CREATE", "UPDATE"), template_safe=True),
    Plugin("Networks", in_use, resources=(network.KIND.resource,), verbs=("DELETE",)),
)
