"""Networks as values, against Swarm's rules read naively (`oracle`)."""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given, settings

from motet.kinds.attachments import NetworkKey
from motet.kinds.network import NetworkSpec
from motet.network.policy.networks import Ground, Separated, separate
from motet.network.policy.views import Pod

from . import oracle
from .strategies import BACK, FRONT, GATEWAYS, INNER, LOST, NETWORKS, OUTSIDE, pods

GROUND = Ground(IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16"), GATEWAYS)
VIP, GATEWAY = "10.43.0.9", "10.42.1.250"
TCP, ICMP = 6, 1


def pod(number: int, *networks: NetworkKey, node: int = 0) -> Pod:
    return Pod(f"10.42.{node}.{number}", "a", {}, local=node == 0, networks=dict.fromkeys(networks, ()))


def admits(found: Separated, way: str, own: Pod, other: str) -> bool:
    answer = getattr(found, way).get(own.address)
    return answer is None or answer.admits(other, TCP, 80)


def test_pods_of_two_networks_do_not_reach_each_other_and_one_on_both_reaches_both() -> None:
    front, back, both = pod(1, FRONT), pod(2, BACK), pod(3, FRONT, BACK)
    found = separate([front, back, both], NETWORKS, GROUND)
    for way in ("ingress", "egress"):
        assert not admits(found, way, front, back.address)
        assert admits(found, way, front, both.address)
        assert admits(found, way, both, back.address)


def test_a_pod_on_no_network_reaches_none_that_is_on_one_and_needs_no_rule() -> None:
    plain, front = pod(1), pod(2, FRONT)
    found = separate([plain, front], NETWORKS, GROUND)
    assert plain.address not in found.ingress
    assert not admits(found, "ingress", front, plain.address)
    assert not admits(found, "egress", front, plain.address)


def test_only_internal_networks_have_no_way_out() -> None:
    inner, both, lost = pod(1, INNER), pod(2, INNER, FRONT), pod(3, LOST)
    found = separate([inner, both, lost], NETWORKS, GROUND)
    assert [admits(found, "egress", each, OUTSIDE[0]) for each in (inner, both, lost)] == [False, True, False]
    assert found.confined == {inner.address, lost.address}


def test_nodes_reach_every_pod() -> None:
    inner = pod(1, INNER)
    assert admits(separate([inner], NETWORKS, GROUND), "ingress", inner, GATEWAY)


def test_members_are_those_of_all_nodes_and_rules_are_for_the_own() -> None:
    here, there = pod(1, FRONT), pod(1, FRONT, node=1)
    found = separate([here, there], NETWORKS, GROUND)
    assert found.members == {here.address, there.address}
    assert set(found.ingress) == {here.address}


def test_secret_are_the_pods_of_encrypted_networks_on_all_nodes() -> None:
    networks = {**NETWORKS, BACK: NetworkSpec(encrypted=True)}
    plain, here, there, both = pod(1, FRONT), pod(2, BACK), pod(1, BACK, node=1), pod(3, FRONT, BACK)
    found = separate([plain, here, there, both, pod(4)], networks, GROUND)
    assert found.secret == {here.address, there.address, both.address}


def test_pods_on_the_same_networks_share_their_answer() -> None:
    found = separate([pod(number, FRONT) for number in range(1, 5)], NETWORKS, GROUND)
    assert len({id(answer) for answer in found.ingress.values()}) == 1


@settings(deadline=None)
@given(pods())
def test_what_is_compiled_decides_as_the_rules_do(world: list[Pod]) -> None:
    found = separate(world, NETWORKS, GROUND)
    for way in ("ingress", "egress"):
        for own in (each for each in world if each.local):
            for other in (*(each.address for each in world), *OUTSIDE, GATEWAY, VIP):
                if other != own.address:
                    wanted = oracle.may_on_networks(way, own, other, world, NETWORKS, GATEWAYS)
                    assert admits(found, way, own, other) == wanted, (way, own, other)
