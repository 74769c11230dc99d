"""Namespaces, nodes, leases, endpoints and their slices."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import endpoints, endpointslice, lease, namespace, node
from motet.kinds.kind import Kind

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cell(kind: Kind, name: str, document: Json) -> Any:
    return next(column for column in kind.columns if column.name == name).cell(document, NOW)


def test_a_namespace_is_filled_in(created: Create) -> None:
    document = created(namespace.KIND, {"metadata": {"name": "shop"}})
    assert document["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert document["spec"] == {"finalizers": ["kubernetes"]}
    assert document["status"] == {"phase": "Active"}


def test_an_ordinary_update_leaves_the_finalizers_of_a_namespace_alone(created: Create, change: Create) -> None:
    old = created(namespace.KIND, {})
    new = change(old, {"spec": {"finalizers": []}})
    namespace.KIND.prepare_update(new, old)
    assert new["spec"] == old["spec"]


def test_the_name_label_of_a_namespace_comes_back(created: Create, change: Create) -> None:
    new = change(created(namespace.KIND, {}), {"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}})
    namespace.KIND.default(new)
    assert new["metadata"]["labels"]["kubernetes.io/metadata.name"] == "web"


@pytest.mark.parametrize(
    ("taint", "start"),
    [
        ({"key": "a", "effect": "Nope"}, 'spec.taints[0].effect: Unsupported value: "Nope"'),
        ({"key": "a b", "effect": "NoSchedule"}, 'spec.taints[0].key: Invalid value: "a b"'),
        ({"key": "a", "effect": ""}, "spec.taints[0].effect: Required value"),
    ],
)
def test_a_taint_has_a_key_and_an_effect(taint: Json, start: str, complaints: Complaints) -> None:
    found = complaints(node.KIND, {"spec": {"taints": [taint]}})
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_the_same_taint_is_given_once(complaints: Complaints) -> None:
    taint = {"key": "a", "effect": "NoSchedule"}
    assert complaints(node.KIND, {"spec": {"taints": [taint, taint]}})[0].startswith("spec.taints[1]: Duplicate value")


@pytest.mark.parametrize("key", ["", "c2hvcnQ=", "!" * 44, "A" * 43 + "=", "AB" * 21 + "B="])
def test_a_wireguard_key_is_32_bytes_in_base64(key: str, complaints: Complaints) -> None:
    (found,) = complaints(node.KIND, {"metadata": {"annotations": {node.WIREGUARD_KEY: key}}})
    assert found.startswith("metadata.annotations[motet.dev/wireguard-key]: Invalid value")
    assert found.endswith("must be a public WireGuard key: 32 bytes in base64")


def test_a_wireguard_key_is_taken(complaints: Complaints) -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    assert complaints(node.KIND, {"metadata": {"annotations": {node.WIREGUARD_KEY: key}}}) == []


def test_the_network_of_a_node_is_set_once(update_complaints: Complaints) -> None:
    assert update_complaints(node.KIND, {}, {"spec": {"podCIDR": "10.42.0.0/24"}}) == []
    found = update_complaints(node.KIND, {"spec": {"podCIDR": "10.42.0.0/24"}}, {"spec": {"podCIDR": "10.42.1.0/24"}})
    assert found == ['spec.podCIDR: Forbidden: node updates may not change podCIDR except from "" to valid']


def test_a_node_keeps_the_status_it_registers_with(created: Create) -> None:
    document = created(node.KIND, {"status": {"capacity": {"cpu": "2"}}})
    assert document["status"]["allocatable"] == {"cpu": "2"}
    assert node.KIND.status_on_create


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({}, "Unknown"),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "Ready"),
        ({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, "NotReady"),
        (
            {"spec": {"unschedulable": True}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            "Ready,SchedulingDisabled",
        ),
    ],
)
def test_a_node_in_one_word(document: Json, status: str) -> None:
    assert cell(node.KIND, "Status", document) == status


def test_the_roles_of_a_node_are_in_its_labels() -> None:
    labels = {"node-role.kubernetes.io/manager": "", "kubernetes.io/role": "edge", "x": "y"}
    assert cell(node.KIND, "Roles", {"metadata": {"labels": labels}}) == "edge,manager"
    assert cell(node.KIND, "Roles", {}) == "<none>"


def test_a_lease_lasts_some_time(complaints: Complaints) -> None:
    assert complaints(lease.KIND, {"spec": {"holderIdentity": "", "leaseTransitions": 0}}) == []
    assert complaints(lease.KIND, {"spec": {"leaseDurationSeconds": 0}}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"
    ]


def test_endpoints_show_the_first_three() -> None:
    subset = {"addresses": [{"ip": f"10.0.0.{n}"} for n in range(1, 6)], "ports": [{"port": 80}]}
    assert cell(endpoints.KIND, "Endpoints", {"subsets": [subset]}) == (
        "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    )
    assert cell(endpoints.KIND, "Endpoints", {}) == "<none>"


def test_endpoints_need_addresses_that_can_be_reached(complaints: Complaints) -> None:
    found = complaints(endpoints.KIND, {"subsets": [{"addresses": [{"ip": "127.0.0.1"}]}, {}]})
    assert found[0].startswith('subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback')
    assert found[1] == "subsets[1]: Required value: must specify `addresses` or `notReadyAddresses`"


SLICE: Json = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}


def test_a_slice_is_filled_in(created: Create) -> None:
    assert created(endpointslice.KIND, SLICE)["ports"] == [{"port": 80, "name": "", "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"addressType": "X"}, 'addressType: Unsupported value: "X": supported values: "FQDN", "IPv4", "IPv6"'),
        ({"endpoints": [{"addresses": []}]}, "endpoints[0].addresses: Required value: must contain at least 1 address"),
        ({"endpoints": [{"addresses": ["::1"]}]}, 'endpoints[0].addresses[0]: Invalid value: "::1": must be an IPv4'),
        (
            {"endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            "endpoints: Too many: 1001: must have at most 1000 items",
        ),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, 'ports[1].name: Duplicate value: "a"'),
    ],
)
def test_a_slice_may_not_have(changes: Json, start: str, complaints: Complaints) -> None:
    found = complaints(endpointslice.KIND, {**SLICE, **changes})
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_a_slice_shows_unset_when_empty() -> None:
    assert cell(endpointslice.KIND, "Endpoints", {}) == "<unset>"
    assert cell(endpointslice.KIND, "Ports", SLICE) == "80"
