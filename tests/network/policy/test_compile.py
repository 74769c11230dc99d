"""Policies as values, against the specification read naively (`oracle`)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from motet.network.policy.compile import Compiled, compile_policies
from motet.network.policy.views import Pod, PolicyView, policy_of

from . import oracle
from .strategies import NAMESPACES, OUTSIDE, PORTS, pods, policies

Json = dict[str, Any]
TCP, UDP, ICMP, SCTP = 6, 17, 1, 132

WEB = Pod("10.42.0.2", "a", {"app": "web"}, frozenset({("http", "TCP", 8080)}), local=True)
CLIENT = Pod("10.42.0.3", "a", {"app": "client"}, local=True)
FAR = Pod("10.42.1.3", "a", {"app": "client"})
STRANGER = Pod("10.42.1.4", "b", {"app": "client"})
WORLD = [WEB, CLIENT, FAR, STRANGER]


def compiled(*specs: Json, namespace: str = "a", pods: list[Pod] = WORLD) -> Compiled:
    given_ = [policy_of(namespace, msgspec.convert({"spec": spec}, PolicyView)) for spec in specs]
    return compile_policies(given_, pods, NAMESPACES)


def into_web(*specs: Json, peer: str, protocol: int = TCP, port: int = 8080) -> bool:
    answer = compiled(*specs).ingress.get(WEB.address)
    return answer is None or answer.admits(peer, protocol, port)


def out_of_client(*specs: Json, peer: str, protocol: int = TCP, port: int = 8080) -> bool:
    answer = compiled(*specs).egress.get(CLIENT.address)
    return answer is None or answer.admits(peer, protocol, port)


DENY: Json = {"podSelector": {}}


def test_without_a_policy_nobody_is_isolated() -> None:
    assert compiled() == Compiled()


def test_a_policy_without_rules_lets_nobody_in_and_everything_out() -> None:
    found = compiled(DENY)
    assert set(found.ingress) == {WEB.address, CLIENT.address}
    assert found.egress == {}
    assert not into_web(DENY, peer=CLIENT.address)


def test_only_pods_of_this_node_are_enforced_here() -> None:
    assert FAR.address not in compiled(DENY).ingress


def test_only_pods_of_the_policys_namespace_are_isolated() -> None:
    assert STRANGER.address not in compiled(DENY, pods=[Pod("10.42.1.4", "b", {}, local=True)]).ingress


def test_policies_add_up() -> None:
    allow = {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [{"podSelector": {}}]}]}
    assert into_web(DENY, allow, peer=FAR.address)
    assert not into_web(DENY, allow, peer=STRANGER.address)


def test_an_empty_rule_lets_everybody_in() -> None:
    for peer in (STRANGER.address, "198.51.100.1"):
        assert into_web({"podSelector": {}, "ingress": [{}]}, peer=peer, protocol=ICMP, port=0)


def test_a_namespace_selector_alone_means_all_pods_there() -> None:
    rule = {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}]}]}
    assert into_web(rule, peer=STRANGER.address)
    assert not into_web(rule, peer=FAR.address)


def test_two_peers_are_either_and_two_selectors_of_one_peer_are_both() -> None:
    team, app = {"namespaceSelector": {"matchLabels": {"team": "y"}}}, {"podSelector": {"matchLabels": {"app": "web"}}}
    assert into_web({"podSelector": {}, "ingress": [{"from": [team, app]}]}, peer=STRANGER.address)
    assert not into_web({"podSelector": {}, "ingress": [{"from": [{**team, **app}]}]}, peer=STRANGER.address)


def test_a_named_port_of_an_ingress_rule_is_the_pods_own() -> None:
    rule = {"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]}
    assert into_web(rule, peer=FAR.address, port=8080)
    assert not into_web(rule, peer=FAR.address, port=80)
    assert not into_web(rule, peer=FAR.address, port=8080, protocol=UDP)


def test_a_named_port_of_an_egress_rule_is_the_peers() -> None:
    rule = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": "http"}]}]}
    assert out_of_client(rule, peer=WEB.address, port=8080)
    assert not out_of_client(rule, peer=FAR.address, port=8080)
    assert not out_of_client(rule, peer="198.51.100.1", port=8080)


def test_a_named_port_is_the_peers_own_where_a_block_means_it_too() -> None:
    block = {"ipBlock": {"cidr": "10.42.0.0/24", "except": ["10.42.0.128/25"]}}
    rule = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block], "ports": [{"port": "http"}]}]}
    assert out_of_client(rule, peer=WEB.address, port=8080)
    assert not out_of_client(rule, peer=WEB.address, port=80)
    assert not out_of_client(rule, peer="10.42.0.9", port=8080)


def test_a_range_of_ports_includes_both_ends() -> None:
    rule = {"podSelector": {}, "ingress": [{"ports": [{"port": 8000, "endPort": 8080}]}]}
    found = [port for port in (7999, 8000, 8080, 8081) if into_web(rule, peer=FAR.address, port=port)]
    assert found == [8000, 8080]


def test_a_port_without_number_is_every_port_of_its_protocol() -> None:
    rule = {"podSelector": {}, "ingress": [{"ports": [{"protocol": "UDP"}]}]}
    assert into_web(rule, peer=FAR.address, protocol=UDP, port=9)
    assert not into_web(rule, peer=FAR.address, protocol=TCP, port=9)


def test_a_block_excepts() -> None:
    block = {"ipBlock": {"cidr": "198.51.100.0/24", "except": ["198.51.100.128/25"]}}
    rule = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]}
    assert out_of_client(rule, peer="198.51.100.127")
    assert not out_of_client(rule, peer="198.51.100.128")


def test_a_block_of_the_other_ip_version_allows_nothing_here() -> None:
    rule = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "::/0"}}]}]}
    assert not into_web(rule, peer=FAR.address)


@pytest.mark.parametrize("kinds", [None, []])
def test_a_policy_with_egress_rules_and_no_types_isolates_both_ways(kinds: list[str] | None) -> None:
    found = compiled({"podSelector": {}, "policyTypes": kinds, "egress": [{}]})
    assert WEB.address in found.ingress
    assert WEB.address in found.egress


def test_pods_that_may_do_the_same_share_one_answer() -> None:
    twin = Pod("10.42.0.9", "a", {"app": "web", "version": "2"}, WEB.ports, local=True)
    found = compiled({"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]}, pods=[WEB, twin])
    assert found.ingress[WEB.address] is found.ingress[twin.address]


PROBES = [(protocol, port) for protocol in (TCP, UDP) for port in PORTS] + [(SCTP, 80), (ICMP, 0)]


@settings(max_examples=150, deadline=None)
@given(pods(), policies)
def test_what_is_compiled_is_what_is_specified(world: list[Pod], specs: list[tuple[str, Json]]) -> None:
    read = [policy_of(namespace, msgspec.convert({"spec": spec}, PolicyView)) for namespace, spec in specs]
    found = compile_policies(read, world, NAMESPACES)
    peers = [pod.address for pod in world] + list(OUTSIDE)
    for pod in (each for each in world if each.local):
        for way, answers in (("ingress", found.ingress), ("egress", found.egress)):
            answer = answers.get(pod.address)
            for other in peers:
                for protocol, port in PROBES:
                    decided = answer is None or answer.admits(other, protocol, port)
                    wanted = oracle.may(way, pod, other, protocol, port, specs, world, NAMESPACES)
                    assert decided == wanted, (way, pod, other, protocol, port)


def _mirrored(text: str) -> str:
    """An IPv4 address or block as one of IPv6 that has it as its last four bytes."""
    address, slash, size = text.partition("/")
    whole = "::" if text == "0.0.0.0/0" else f"fd00:42::{address}"
    return str(ip_network(f"{whole}/{0 if text == '0.0.0.0/0' else 96 + int(size)}") if slash else ip_address(whole))


def _in_six(value: Any) -> Any:
    """A policy with its blocks mirrored."""
    if isinstance(value, dict) and "cidr" in value:
        return {"cidr": _mirrored(value["cidr"]), "except": [_mirrored(each) for each in value.get("except", ())]}
    if isinstance(value, dict):
        return {key: _in_six(each) for key, each in value.items()}
    return [_in_six(each) for each in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(pods(), policies)
def test_in_the_mirror_of_a_world_ipv6_is_decided_as_ipv4_is(world: list[Pod], specs: list[tuple[str, Json]]) -> None:
    four = [policy_of(namespace, msgspec.convert({"spec": spec}, PolicyView)) for namespace, spec in specs]
    six = [policy_of(namespace, msgspec.convert({"spec": _in_six(spec)}, PolicyView)) for namespace, spec in specs]
    found = compile_policies(four, world, NAMESPACES)
    mirror = compile_policies(six, [replace(pod, address=_mirrored(pod.address)) for pod in world], NAMESPACES, 6)
    for way in ("ingress", "egress"):
        answers, mirrored = getattr(found, way), getattr(mirror, way)
        assert {_mirrored(address) for address in answers} == set(mirrored)
        for address, answer in answers.items():
            for other in (*(pod.address for pod in world), *OUTSIDE):
                for protocol, port in PROBES:
                    decided = mirrored[_mirrored(address)].admits(_mirrored(other), protocol, port)
                    assert decided == answer.admits(other, protocol, port), (way, address, other, protocol, port)
