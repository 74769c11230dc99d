"""What a node may not write of volumes, even where the authorizer lets it write."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from motet.api.admission import Request
from motet.api.noderestriction import node_restriction
from motet.api.users import User
from motet.base.errors import Forbidden
from motet.kinds import csinode, persistentvolume, persistentvolumeclaim
from motet.kinds.kind import Kind

Json = dict[str, Any]
NODE = User("system:node:n1", ("system:nodes",))
CLAIM: Json = {
    "metadata": {"name": "data", "namespace": "default", "finalizers": ["kubernetes.io/pvc-protection"]},
    "spec": {"volumeName": "v1", "resources": {"requests": {"storage": "2Gi"}}},
    "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
}
VOLUME: Json = {
    "metadata": {"name": "v1", "finalizers": ["motet.dev/data"]},
    "spec": {"capacity": {"storage": "1Gi"}, "csi": {"driver": "d", "volumeHandle": "h"}},
}


def changed(document: Json, *path: str, value: Any) -> Json:
    made = copy.deepcopy(document)
    at = made
    for key in path[:-1]:
        at = at.setdefault(key, {})
    at[path[-1]] = value
    return made


def update(kind: Kind, old: Json, new: Json, user: User = NODE, subresource: str = "") -> None:
    node_restriction(request(kind, "UPDATE", old, new, user, subresource))


def request(kind: Kind, verb: Any, old: Json | None, new: Json, user: User = NODE, subresource: str = "") -> Request:
    name = (old or new)["metadata"]["name"]
    return Request(
        kind=kind,
        verb=verb,
        subresource=subresource,
        namespace="default" if kind.namespaced else "",
        name=name,
        user=user,
        old=old,
        new=new,
        lookup=lambda resource: None,  # type: ignore[arg-type,return-value]
    )


def test_a_node_tells_that_a_claim_has_grown() -> None:
    grown = changed(CLAIM, "status", "capacity", value={"storage": "2Gi"})
    update(persistentvolumeclaim.KIND, CLAIM, grown, subresource="status")
    resizing = [{"type": "FileSystemResizePending", "status": "True"}]
    update(
        persistentvolumeclaim.KIND, CLAIM, changed(CLAIM, "status", "conditions", value=resizing), subresource="status"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("status", "phase"), "Lost"),
        (("status", "allocatedResources"), {"storage": "9Gi"}),
        (("spec", "volumeName"), "v2"),
        (("metadata", "finalizers"), []),
        (("metadata", "annotations"), {"volume.kubernetes.io/selected-node": "n1"}),
        (("metadata", "labels"), {"a": "b"}),
    ],
)
def test_a_node_changes_nothing_else_of_a_claim(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(Forbidden, match=r"nothing of a claim but its status.capacity and status.conditions"):
        update(persistentvolumeclaim.KIND, CLAIM, changed(CLAIM, *path, value=value), subresource="status")


def test_a_node_lets_a_volume_go_and_changes_nothing_else_of_it() -> None:
    update(persistentvolume.KIND, VOLUME, changed(VOLUME, "metadata", "finalizers", value=[]))
    for path, value in (
        (("spec", "csi", "volumeHandle"), "other"),
        (("metadata", "labels"), {"a": "b"}),
        (("spec", "capacity", "storage"), "9Gi"),
    ):
        with pytest.raises(Forbidden, match="nothing of a volume but its finalizers"):
            update(persistentvolume.KIND, VOLUME, changed(VOLUME, *path, value=value))


def test_a_node_has_one_csinode_named_after_it() -> None:
    node_restriction(request(csinode.KIND, "CREATE", None, {"metadata": {"name": "n1"}}))
    with pytest.raises(Forbidden, match="has one CSINode, named after it"):
        node_restriction(request(csinode.KIND, "CREATE", None, {"metadata": {"name": "n2"}}))


def test_others_are_not_nodes() -> None:
    person = User("admin", ("system:masters",))
    update(persistentvolume.KIND, VOLUME, changed(VOLUME, "spec", "capacity", value={}), user=person)
