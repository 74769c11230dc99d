"""What services, slices and pods ask of a node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from motet.kinds.service import EVERY_PORT
from motet.network.proxy.desired import Backends, Frontend, Routes, of_pod, of_service
from motet.network.proxy.views import Meta, PodView, ServiceView, SliceView

VIP = "10.43.0.7"
A, B, C = "10.42.0.2", "10.42.0.3", "10.42.1.4"


def service(**spec: Any) -> ServiceView:
    status = spec.pop("status", {})
    ports = [{"port": 80, "protocol": "TCP"}]
    return msgspec.convert({"spec": {"clusterIP": VIP, "ports": ports, **spec}, "status": status}, ServiceView)


def slice(*endpoints: dict[str, Any], **fields: Any) -> SliceView:
    ports = [{"name": "", "port": 8080, "protocol": "TCP"}]
    return msgspec.convert({"endpoints": list(endpoints), "ports": ports, **fields}, SliceView)


def endpoint(address: str, node: str = "n1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def routes(service: ServiceView, *slices: SliceView) -> Routes:
    return of_service(service, slices, "n1")


def test_an_address_leads_to_every_port_if_its_service_says_so() -> None:
    every = msgspec.structs.replace(service(ports=[]), metadata=Meta({EVERY_PORT: "true"}))
    ready, unready = endpoint(A, ready=True), endpoint(B, ready=False)
    assert routes(every, slice(ready, unready, ports=[])) == {Frontend(VIP, "", 0): Backends(((A, 0),))}
    named = msgspec.structs.replace(service(), metadata=Meta({EVERY_PORT: "true"}))
    assert set(routes(named, slice(ready))) == {Frontend(VIP, "", 0), Frontend(VIP, "tcp", 80)}
    assert set(routes(service(), slice(ready))) == {Frontend(VIP, "tcp", 80)}


def at(routes: Routes, address: str = VIP, port: int = 80, inside: bool = False) -> list[str]:
    return [address for address, _ in routes[Frontend(address, "tcp", port, inside)].endpoints]


def test_a_cluster_address_leads_to_the_ready_endpoints_of_all_slices() -> None:
    found = routes(service(), slice(endpoint(A), endpoint(B, ready=False)), slice(endpoint(C, ready=True)))
    assert at(found) == [A, C]


def test_endpoints_that_leave_serve_only_while_there_are_no_others() -> None:
    leaving = endpoint(A, ready=False, serving=True, terminating=True)
    assert at(routes(service(), slice(leaving))) == [A]
    assert at(routes(service(), slice(leaving, endpoint(B)))) == [B]


def hinted(address: str, nodes: str = "", zones: str = "", node: str = "n1") -> dict[str, Any]:
    hints = {
        "forNodes": [{"name": each} for each in nodes.split()],
        "forZones": [{"name": each} for each in zones.split()],
    }
    return {**endpoint(address, node), "hints": hints}


@pytest.mark.parametrize(
    ("endpoints", "led_to"),
    [
        ([hinted(A, "n1", "z1"), hinted(B, "n2", "z1"), hinted(C, "n3", "z2")], [A]),
        ([hinted(A, "n3", "z1"), hinted(B, "n2", "z1"), hinted(C, "n3", "z2")], [A, B]),
        ([hinted(A, "n3", "z2"), hinted(B, "n2", "z2")], [A, B]),
        ([hinted(A, "", "z1"), hinted(B, "", "z2")], [A]),
        ([hinted(A, "n1", "z1"), endpoint(B)], [A, B]),
        ([hinted(A, "", "z2"), {**endpoint(B, ready=False), "hints": None}], [A]),
        ([], []),
    ],
)
def test_hints_keep_traffic_on_the_node_else_in_the_zone_else_nowhere(
    endpoints: list[dict[str, Any]], led_to: list[str]
) -> None:
    assert at(of_service(service(), [slice(*endpoints)], "n1", "z1")) == led_to


def test_a_node_without_a_zone_takes_all_and_a_local_policy_asks_no_hints() -> None:
    part = slice(hinted(A, zones="z1"), hinted(B, zones="z2"))
    assert at(of_service(service(), [part], "n1")) == [A, B]
    assert at(of_service(service(internalTrafficPolicy="Local"), [part], "n1", "z1")) == [A, B]


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    part = slice(endpoint(A), ports=[{"name": "dns", "port": 5353, "protocol": "UDP"}])
    found = routes(service(ports=ports), part)
    assert found[Frontend(VIP, "udp", 53)].endpoints == ((A, 5353),)
    assert found[Frontend(VIP, "tcp", 53)].endpoints == ()


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalIPs": ["192.0.2.1"]}])
def test_headless_and_external_services_need_no_rules(spec: dict[str, Any]) -> None:
    assert routes(service(**spec), slice(endpoint(A))) == {}


def test_affinity_has_its_seconds_or_three_hours() -> None:
    config = {"clientIP": {"timeoutSeconds": 60}}
    found = routes(service(sessionAffinity="ClientIP", sessionAffinityConfig=config))
    assert found[Frontend(VIP, "tcp", 80)].sticky == 60
    assert routes(service(sessionAffinity="ClientIP"))[Frontend(VIP, "tcp", 80)].sticky == 10800


def test_a_load_balancer_takes_its_own_port_and_its_node_port() -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    assert set(routes(service(type="LoadBalancer", ports=ports))) == {
        Frontend(VIP, "tcp", 80),
        Frontend("", "tcp", 30080),
        Frontend("", "tcp", 80),
    }


def test_a_load_balancer_that_was_refused_its_port_does_not_take_it() -> None:
    refused = {"conditions": [{"type": "LoadBalancerPortsError", "status": "True"}]}
    assert set(routes(service(type="LoadBalancer", status=refused))) == {Frontend(VIP, "tcp", 80)}


def test_somebody_elses_load_balancer_is_served_at_its_address() -> None:
    shown = {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}, {"ip": "198.51.100.2", "ipMode": "Proxy"}]}}
    found = routes(service(type="LoadBalancer", loadBalancerClass="example.com/x", status=shown))
    assert set(found) == {Frontend(VIP, "tcp", 80), Frontend("198.51.100.1", "tcp", 80)}


def test_a_local_external_policy_binds_outsiders_only() -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Local"}
    found = routes(service(**spec), slice(endpoint(A), endpoint(C, "n2")))
    assert at(found, "", 30080) == [A]
    assert at(found, "", 30080, inside=True) == [A, C]
    assert at(found) == [A, C]


def test_without_local_endpoints_a_local_policy_ignores_rather_than_refuses() -> None:
    found = routes(service(internalTrafficPolicy="Local"), slice(endpoint(C, "n2")))
    assert found[Frontend(VIP, "tcp", 80)] == Backends((), elsewhere=True)
    assert routes(service(internalTrafficPolicy="Local"))[Frontend(VIP, "tcp", 80)] == Backends(())


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "x; flush", ""])
def test_addresses_that_no_service_may_lead_to_are_left_out(address: str) -> None:
    found = routes(service(externalIPs=[address]), slice(endpoint(address), endpoint(A)))
    assert set(found) == {Frontend(VIP, "tcp", 80)}
    assert at(found) == [A]


def pod(*ports: dict[str, Any], **status: Any) -> PodView:
    spec = {"containers": [{"ports": list(ports)}], "hostNetwork": status.pop("hostNetwork", False)}
    return msgspec.convert({"spec": spec, "status": {"phase": "Running", "podIP": A, **status}}, PodView)


PORT = {"containerPort": 80, "hostPort": 8080}


def test_a_host_port_leads_to_the_pod() -> None:
    assert of_pod(pod(PORT, {"containerPort": 81})) == {Frontend("", "tcp", 8080): Backends(((A, 80),))}


def test_a_host_port_may_be_of_one_address_only() -> None:
    assert set(of_pod(pod(PORT | {"hostIP": "127.0.0.1"}))) == {Frontend("127.0.0.1", "tcp", 8080)}


@pytest.mark.parametrize("status", [{"podIP": ""}, {"phase": "Failed"}, {"hostNetwork": True}])
def test_pods_that_are_not_there_or_need_no_rule_have_none(status: dict[str, Any]) -> None:
    assert of_pod(pod(PORT, **status)) == {}


@pytest.mark.parametrize(
    ("ranges", "sources"),
    [
        (None, None),
        (["10.0.0.0/9", "10.128.0.0/9", "192.0.2.7/32"], ("10.0.0.0/8", "192.0.2.7/32")),
        (["192.0.2.0/24", "0.0.0.0/0"], None),
        (["2001:db8::/32"], ()),
    ],
)
def test_ranges_of_a_balancer_hold_for_its_own_port_only(ranges: list[str] | None, sources: object) -> None:
    port = {"port": 80, "protocol": "TCP", "nodePort": 30080}
    found = routes(
        service(type="LoadBalancer", loadBalancerSourceRanges=ranges, ports=[port], externalIPs=["192.0.2.1"])
    )
    assert found[Frontend("", "tcp", 80)].sources == sources
    others = (Frontend(VIP, "tcp", 80), Frontend("", "tcp", 30080), Frontend("192.0.2.1", "tcp", 80))
    assert [found[each].sources for each in others] == [None, None, None]


VIP_SIX = "fd00:43::7"
SIX, SIX_TOO = "fd00:42::2", "fd00:42::3"


def six(service: ServiceView, *slices: SliceView) -> Routes:
    return of_service(service, slices, "n1", family="IPv6")


def test_each_family_has_its_own_address_and_endpoints_of_a_service() -> None:
    both = service(clusterIPs=[VIP, VIP_SIX], ipFamilies=["IPv4", "IPv6"])
    parts = slice(endpoint(A)), slice(endpoint(SIX), addressType="IPv6")
    assert at(routes(both, *parts)) == [A]
    assert at(six(both, *parts), VIP_SIX) == [SIX]


def test_a_service_takes_no_port_of_a_family_that_it_is_not_of() -> None:
    one = service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}], externalIPs=["2001:db8::7"])
    assert six(one, slice(endpoint(SIX), addressType="IPv6")) == {}
    other = service(clusterIP=VIP_SIX, ipFamilies=["IPv6"], type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    assert routes(other, slice(endpoint(A))) == {}
    assert at(six(other, slice(endpoint(SIX), addressType="IPv6")), "", 30080) == [SIX]


@pytest.mark.parametrize("address", ["::1", "fe80::1", "ff02::1", "::", "::ffff:10.42.0.2", "fe80::1%eth0", A, "x"])
def test_an_address_that_must_not_be_reached_by_a_service_is_not(address: str) -> None:
    both = service(clusterIPs=[VIP, VIP_SIX], ipFamilies=["IPv4", "IPv6"])
    assert at(six(both, slice(endpoint(address), addressType="IPv6")), VIP_SIX) == []


def test_addresses_are_taken_in_their_one_form() -> None:
    both = service(clusterIPs=[VIP, "FD00:43:0::7"], ipFamilies=["IPv4", "IPv6"])
    assert at(six(both, slice(endpoint("fd00:42:0:0::2"), addressType="IPv6")), VIP_SIX) == [SIX]


def test_ranges_of_sources_count_for_their_own_family() -> None:
    ranges = ["192.0.2.0/24", "2001:db8::/64", "2001:db8:0:1::/64"]
    spec = {"type": "LoadBalancer", "clusterIPs": [VIP, VIP_SIX], "ipFamilies": ["IPv4", "IPv6"]}
    part = slice(endpoint(SIX), addressType="IPv6")
    found = six(service(**spec, loadBalancerSourceRanges=ranges), part)
    assert found[Frontend("", "tcp", 80)].sources == ("2001:db8::/63",)
    # Ranges of IPv4 alone let nobody in by IPv6.
    assert six(service(**spec, loadBalancerSourceRanges=ranges[:1]), part)[Frontend("", "tcp", 80)].sources == ()


def test_a_host_port_is_taken_in_the_families_that_its_address_stands_for() -> None:
    def pod(host_ip: str) -> PodView:
        port = {"containerPort": 80, "hostPort": 8080, "hostIP": host_ip}
        status = {"podIP": A, "podIPs": [{"ip": A}, {"ip": SIX}], "phase": "Running"}
        return msgspec.convert({"spec": {"containers": [{"ports": [port]}]}, "status": status}, PodView)

    for host_ip, four, also in (
        ("", "", ""),
        ("::", "", ""),
        ("0.0.0.0", "", None),
        ("2001:db8::1", None, "2001:db8::1"),
    ):
        for family, where, to in (("IPv4", four, A), ("IPv6", also, SIX)):
            found = of_pod(pod(host_ip), family)
            assert found == ({} if where is None else {Frontend(where, "tcp", 8080): Backends(((to, 80),))})
