from ipaddress import IPv4Network
from pathlib import Path

import pytest

from motet.testbed.plan import Member, Plan, TestbedError, free_subnet, load, save, tag


def test_it_takes_the_first_network_nobody_uses() -> None:
    assert free_subnet([]) == IPv4Network("10.201.0.0/24")
    assert free_subnet([IPv4Network("10.201.0.0/23"), IPv4Network("192.0.2.0/24")]) == IPv4Network("10.201.2.0/24")


def test_it_says_so_when_every_network_is_used() -> None:
    with pytest.raises(TestbedError, match="used on this machine"):
        free_subnet([IPv4Network("10.0.0.0/8")])


def test_the_first_node_manages_and_addresses_follow_the_numbers() -> None:
    plan = Plan("10.201.0.0/24").grown(3, 1)
    assert [(each.name, each.manager, str(plan.address(each))) for each in plan.members] == [
        ("n1", True, "10.201.0.11"),
        ("n2", False, "10.201.0.12"),
        ("n3", False, "10.201.0.13"),
    ]
    assert str(plan.gateway) == "10.201.0.1"


def test_growing_leaves_alone_what_is_there() -> None:
    plan = Plan("10.201.0.0/24").grown(2, 1).with_member(Member("n2", 2, manager=False, loss=20, cut=True))
    grown = plan.grown(4, 1)
    assert grown.members[:2] == plan.members
    assert [each.name for each in grown.members] == ["n1", "n2", "n3", "n4"]
    assert grown.grown(1, 1) == grown


@pytest.mark.parametrize(("nodes", "managers"), [(0, 1), (500, 1), (3, 3), (3, 0)])
def test_what_cannot_be_is_refused(nodes: int, managers: int) -> None:
    with pytest.raises(TestbedError):
        Plan("10.201.0.0/24").grown(nodes, managers)


def test_an_unknown_node_is_answered_with_those_there_are() -> None:
    with pytest.raises(TestbedError, match=r"no node 'n9'.*has n1, n2"):
        Plan("10.201.0.0/24").grown(2, 1).member("n9")


def test_a_plan_is_found_again_as_it_was_left(tmp_path: Path) -> None:
    plan = Plan("10.201.0.0/24", forwarding_before="0").grown(2, 1)
    assert load(tmp_path) is None
    save(tmp_path, plan)
    assert load(tmp_path) == plan


def test_two_testbeds_have_different_names_in_the_kernel(tmp_path: Path) -> None:
    assert tag(tmp_path / "a") != tag(tmp_path / "b")
    assert len(tag(tmp_path / "a")) == 8
