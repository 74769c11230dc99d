from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import service

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]
FINE: Json = {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}


def test_a_service_is_filled_in(created: Create) -> None:
    document = created(service.KIND, FINE)
    assert document["spec"] == {
        "selector": {"a": "b"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "type": "ClusterIP",
        "internalTrafficPolicy": "Cluster",
    }
    assert document["status"] == {"loadBalancer": {}}


def test_services_reached_from_outside_get_their_policies(created: Create, change: Create) -> None:
    spec = created(service.KIND, change(FINE, {"spec": {"type": "LoadBalancer"}}))["spec"]
    assert (spec["externalTrafficPolicy"], spec["allocateLoadBalancerNodePorts"]) == ("Cluster", True)


def test_affinity_lasts_three_hours(created: Create, change: Create) -> None:
    spec = created(service.KIND, change(FINE, {"spec": {"sessionAffinity": "ClientIP"}}))["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"clusterIP": "None", "ports": None},
        {"type": "ExternalName", "externalName": "example.com.", "ports": None},
        {"type": "NodePort", "ports": [{"name": "a", "port": 1, "nodePort": 30000}, {"name": "b", "port": 2}]},
        {"ports": [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP", "targetPort": "dns"}]},
        {"externalIPs": ["192.0.2.1"], "clusterIP": "10.43.0.9"},
    ],
)
def test_a_service_may_have(changes: Json, complaints: Complaints, change: Create) -> None:
    assert complaints(service.KIND, change(FINE, {"spec": changes})) == []


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"ports": None}, "spec.ports: Required value"),
        (
            {"loadBalancerSourceRanges": ["10.0.0.0/8"]},
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8", "10.0.0.300/8"]},
            'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.300/8": must be a valid CIDR value',
        ),
        (
            {"ports": [{"port": 0, "targetPort": 1}]},
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        ({"ports": [{"name": "a", "port": 1}, {"port": 2}]}, "spec.ports[1].name: Required value"),
        ({"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]}, 'spec.ports[1].name: Duplicate value: "a"'),
        ({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]}, "spec.ports[1]: Duplicate value"),
        ({"ports": [{"port": 1, "protocol": "ICMP"}]}, 'spec.ports[0].protocol: Unsupported value: "ICMP"'),
        ({"ports": [{"port": 1, "targetPort": "a_b"}]}, 'spec.ports[0].targetPort: Invalid value: "a_b"'),
        (
            {"ports": [{"port": 1, "nodePort": 30000}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        ({"type": "Mesh"}, 'spec.type: Unsupported value: "Mesh"'),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        (
            {"type": "NodePort", "clusterIP": "None"},
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None'",
        ),
        ({"ipFamilies": ["IPv4", "IPv4"]}, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
        ({"ipFamilyPolicy": "Both"}, 'spec.ipFamilyPolicy: Unsupported value: "Both"'),
        (
            {"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9", "10.43.0.8"]},
            'spec.clusterIPs: Invalid value: ["10.43.0.9", "10.43.0.8"]: may specify no more than one IP for each IP family',
        ),
        (
            {"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "ipFamilies": ["IPv6"]},
            'spec.clusterIPs[0]: Invalid value: "10.43.0.9": expected an IPv6 value as indicated by `ipFamilies[0]`',
        ),
        ({"clusterIP": "x"}, 'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address'),
        ({"sessionAffinity": "Cookie"}, 'spec.sessionAffinity: Unsupported value: "Cookie"'),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less",
        ),
        ({"externalIPs": ["127.0.0.1"]}, 'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback'),
        ({"externalTrafficPolicy": "Local"}, 'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for'),
        ({"selector": {"a": "b c"}}, 'spec.selector: Invalid value: "b c"'),
    ],
)
def test_a_service_may_not_have(changes: Json, start: str, complaints: Complaints, change: Create) -> None:
    found = complaints(service.KIND, change(FINE, {"spec": changes}))
    assert len(found) == 1, found
    assert found[0].startswith(start)


EVERY: Json = {"metadata": {"annotations": {service.EVERY_PORT: "true"}}}


def test_an_address_that_leads_to_every_port_needs_to_name_none(complaints: Complaints, change: Create) -> None:
    assert complaints(service.KIND, change(FINE, {**EVERY, "spec": {"ports": None}})) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"type": "NodePort"}, "only for services of type ClusterIP that have an address"),
        ({"clusterIP": "None"}, "only for services of type ClusterIP that have an address"),
        ({"sessionAffinity": "ClientIP"}, "not together with session affinity"),
    ],
)
def test_every_port_is_of_plain_addresses(changes: Json, why: str, complaints: Complaints, change: Create) -> None:
    (found,) = complaints(service.KIND, change(FINE, {**EVERY, "spec": changes}))
    assert found == f'metadata.annotations[motet.dev/every-port]: Invalid value: "true": {why}'


def updated(old: Json, new: Json) -> Json:
    service.KIND.default(new)
    service.KIND.prepare_update(new, old)
    return new["spec"]


def test_addresses_and_node_ports_left_out_are_kept(created: Create, change: Create) -> None:
    given = {"type": "NodePort", "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "ipFamilies": ["IPv4"]}
    old = created(service.KIND, change(FINE, {"spec": {**given, "ports": [{"port": 80, "nodePort": 30080}]}}))
    spec = updated(old, change(FINE, {"spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}}))
    assert (spec["clusterIP"], spec["ipFamilies"]) == ("10.43.0.9", ["IPv4"])
    assert [port.get("nodePort") for port in spec["ports"]] == [30080, None]


def test_node_ports_go_with_the_type_that_needed_them(created: Create, change: Create) -> None:
    old = created(
        service.KIND, change(FINE, {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}})
    )
    spec = updated(old, change(old, {"spec": {"type": "ClusterIP"}}))
    assert "nodePort" not in spec["ports"][0]
    assert "externalTrafficPolicy" not in spec


def test_an_external_name_gives_its_address_back(created: Create, change: Create) -> None:
    old = created(service.KIND, change(FINE, {"spec": {"clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"]}}))
    new = change(old, {"spec": {"type": "ExternalName", "externalName": "a.b"}})
    assert "clusterIP" not in updated(old, new)


def test_an_address_does_not_change(update_complaints: Complaints, change: Create) -> None:
    old = change(FINE, {"spec": {"clusterIP": "10.43.0.9"}})
    assert update_complaints(service.KIND, old, {"spec": {"clusterIP": "10.43.0.10"}}) == [
        'spec.clusterIPs[0]: Invalid value: ["10.43.0.10"]: may not change once set'
    ]
