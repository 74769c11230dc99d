from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from motet.kinds import network, podaddress, service
from motet.kinds.attachments import ANNOTATION
from motet.kinds.metadata import validate_metadata
from motet.kinds.network import NetworkSpec

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_network_is_open_unencrypted_and_for_workloads_unless_it_says(created: Callable[..., Json]) -> None:
    made = created(network.KIND, {"metadata": {"name": "back"}})
    assert made["spec"] == {"internal": False, "attachable": False, "encrypted": False}


def test_namespaces_are_names_or_a_star_each_once(complaints: Callable[..., list[str]]) -> None:
    found = complaints(network.KIND, {"metadata": {"name": "back"}, "spec": {"namespaces": ["*", "blog", "B", "blog"]}})
    assert [each.partition(": ")[0] for each in found] == ["spec.namespaces[2]", "spec.namespaces[3]"]


def test_a_name_that_no_annotation_could_hold_is_refused() -> None:
    document = {"metadata": {"name": "a.b", "namespace": "default"}}
    assert [error.path for error in validate_metadata(document, network.KIND)] == ["metadata.name"]


def test_other_namespaces_are_let_in_by_name_or_all_of_them() -> None:
    assert NetworkSpec(namespaces=("blog",)).lets_in("blog")
    assert NetworkSpec(namespaces=("*",)).lets_in("anything")
    assert not NetworkSpec(namespaces=("blog",)).lets_in("shop")
    assert not NetworkSpec().lets_in("shop")


def test_columns_show_what_kind_of_network_it_is() -> None:
    document = {"metadata": {"name": "back"}, "spec": {"internal": True, "namespaces": ["a", "b"]}}
    shown = {column.name: column.cell(document, NOW) for column in network.KIND.columns}
    assert (shown["Name"], shown["Internal"], shown["Encrypted"], shown["Namespaces"]) == ("back", True, False, "a,b")


def test_the_annotation_is_checked_wherever_it_stands() -> None:
    document = {"metadata": {"name": "web", "namespace": "default", "annotations": {ANNOTATION: "front,back"}}}
    (error,) = validate_metadata(document, service.KIND)
    assert error.path == f"metadata.annotations[{ANNOTATION}]"


def test_a_pods_networks_are_known_to_all_nodes_and_its_other_annotations_are_not() -> None:
    document = {"metadata": {"name": "web", "annotations": {ANNOTATION: "front", "secret": "x"}}, "spec": {}}
    podaddress.read(document)
    assert document["metadata"]["annotations"] == {ANNOTATION: "front"}
    assert msgspec.json.encode(document)
