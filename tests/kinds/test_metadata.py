from __future__ import annotations

from typing import Any

import pytest

from motet.kinds import node, pod
from motet.kinds.metadata import MAX_ANNOTATIONS_SIZE, validate_metadata, validate_metadata_update


def messages(kind: Any = pod.KIND, **metadata: Any) -> list[str]:
    whole = {"name": "web", "namespace": "default", **metadata}
    return [error.message() for error in validate_metadata({"metadata": whole}, kind)]


def test_ordinary_metadata_is_fine() -> None:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    found = messages(
        labels={"app.kubernetes.io/name": "web", "empty": ""},
        annotations={"Example.COM/Note": "anything\nat all"},
        finalizers=["example.com/clean", "foregroundDeletion"],
        ownerReferences=[owner],
    )
    assert found == []


@pytest.mark.parametrize(
    ("metadata", "start"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "Web"}, 'metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain'),
        ({"generateName": "-x-"}, 'metadata.generateName: Invalid value: "-x-"'),
        ({"namespace": "a.b"}, 'metadata.namespace: Invalid value: "a.b"'),
        ({"labels": {"a b": "c"}}, 'metadata.labels: Invalid value: "a b": name part must consist of'),
        ({"labels": {"a": "c d"}}, 'metadata.labels: Invalid value: "c d": a valid label must be'),
        ({"annotations": {"/x": "y"}}, 'metadata.annotations: Invalid value: "/x": prefix part must be non-empty'),
        (
            {"annotations": {"x": "y" * MAX_ANNOTATIONS_SIZE}},
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            {"finalizers": ["mine"]},
            'metadata.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully',
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n"}]},
            'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "n", "uid": "u"}]},
            "metadata.ownerReferences: Invalid value",
        ),
    ],
)
def test_a_wrong_piece_of_metadata_is_named(metadata: dict[str, Any], start: str) -> None:
    found = messages(**metadata)
    assert len(found) == 1
    assert found[0].startswith(start)


def test_an_object_has_one_controller_only() -> None:
    owners = [{"apiVersion": "v1", "kind": "A", "name": n, "uid": n, "controller": True} for n in ("x", "y")]
    assert "Only one reference can have Controller set to true" in messages(ownerReferences=owners)[0]


def test_a_cluster_wide_object_has_no_namespace() -> None:
    assert messages(node.KIND) == ["metadata.namespace: Forbidden: not allowed on this type"]


def test_identity_does_not_change() -> None:
    old = {"metadata": {"name": "web", "namespace": "default", "uid": "a"}}
    new = {"metadata": {"name": "web", "namespace": "default", "uid": "b"}}
    found = validate_metadata_update(new, old, pod.KIND)
    assert [error.message() for error in found] == ['metadata.uid: Invalid value: "b": field is immutable']


def test_an_object_being_deleted_gets_no_new_finalizer() -> None:
    old = {"metadata": {"name": "web", "namespace": "default", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    new = {"metadata": {**old["metadata"], "finalizers": ["a.b/c"]}}
    assert validate_metadata_update(new, old, pod.KIND)[0].type == "FieldValueForbidden"
