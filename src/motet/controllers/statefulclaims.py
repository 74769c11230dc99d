"""The storage of a StatefulSet's pods: the names of their claims, what these are made from, and with whom they go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import msgspec

from motet.kinds import persistentvolumeclaim, pod, statefulset
from motet.store.document import Meta, OwnerReference

_KIND = persistentvolumeclaim.KIND


class Retention(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """`persistentVolumeClaimRetentionPolicy`: what becomes of claims when the set goes, and when a pod is scaled away."""

    when_deleted: str = "Retain"
    when_scaled: str = "Retain"


def names(templates: Iterable[Mapping[str, Any]], pod_name: str) -> list[str]:
    """The names of one pod's claims."""
    return [f"{template['metadata']['name']}-{pod_name}" for template in templates]


def documents(
    templates: Iterable[Mapping[str, Any]], pod_name: str, namespace: str, selector: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """One pod's claims. They carry the labels that select the set's pods."""
    found = []
    for template in templates:
        claim = deepcopy(dict(template))
        metadata = claim["metadata"]
        metadata.update(name=f"{metadata['name']}-{pod_name}", namespace=namespace)
        metadata["labels"] = {**(metadata.get("labels") or {}), **((selector or {}).get("matchLabels") or {})}
        claim.update(apiVersion=_KIND.api_version, kind=_KIND.kind)
        claim.pop("status", None)
        found.append(claim)
    return found


def volumes(
    templates: Iterable[Mapping[str, Any]], pod_name: str, others: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The volumes of one pod: its claims under the names of their templates, and those of the pod template beside them."""
    own: list[Mapping[str, Any]] = []
    for template in templates:
        name = template["metadata"]["name"]
        own.append({"name": name, "persistentVolumeClaim": {"claimName": f"{name}-{pod_name}"}})
    taken = {volume["name"] for volume in own}
    return [*own, *(volume for volume in others if volume["name"] not in taken)]


def is_going(claim: Meta | None, pod_name: str, pod_uid: str) -> bool:
    """The claim is being deleted, or will be with an earlier pod of that name: a new pod must wait for a new one."""
    if claim is None:
        return False
    if claim.deletion_timestamp is not None:
        return True
    references = claim.owner_references or ()
    return any(each.kind == pod.KIND.kind and each.name == pod_name and each.uid != pod_uid for each in references)


def owners(claim: Meta, owner: Meta, its_pod: Meta, policy: Retention, *, wanted: bool) -> tuple[OwnerReference, ...]:
    """The owners a claim should have: the set where it goes with that, the pod where that is scaled away (not `wanted`)."""
    with_pod = not wanted and policy.when_scaled == "Delete"
    with_set = policy.when_deleted == "Delete" and not with_pod
    desired = [
        *([_reference(statefulset.KIND.api_version, statefulset.KIND.kind, owner)] if with_set else []),
        *([_reference(pod.KIND.api_version, pod.KIND.kind, its_pod)] if with_pod else []),
    ]
    ours = {(statefulset.KIND.kind, owner.name), (pod.KIND.kind, its_pod.name)}
    others = [each for each in claim.owner_references or () if (each.kind, each.name) not in ours]
    if any(each.controller for each in others):
        desired = [msgspec.structs.replace(each, controller=False) for each in desired]
    return _as_they_were(claim.owner_references or (), [*others, *desired])


def _reference(api_version: str, kind: str, meta: Meta) -> OwnerReference:
    return OwnerReference(api_version, kind, meta.name, meta.uid, controller=True, block_owner_deletion=True)


def _as_they_were(before: Sequence[OwnerReference], after: Sequence[OwnerReference]) -> tuple[OwnerReference, ...]:
    """The same references in another order are no news."""
    return tuple(before) if set(before) == set(after) else tuple(after)
