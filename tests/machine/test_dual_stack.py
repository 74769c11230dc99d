"""A cluster of both families on two machines, typed into as a person would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from support.machines import Machines, plugged

pytestmark = pytest.mark.node

PODS, SERVICES = "10.42.0.0/16,fd00:42::/56", "10.43.0.0/16,fd00:43::/112"


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with plugged() as made:
        yield made


def test_machines_that_join_need_not_be_told(machines: Machines) -> None:
    assert "needs IPv6 ranges for both" in machines.motet("m1", "init", "--pod-cidr", PODS, fails=True)
    init = ("init", "--node-name", "m1", "--pod-cidr", PODS, "--service-cidr", SERVICES, "-o", "json")
    begun = json.loads(machines.motet("m1", *init))
    machines.motet("m2", "join", "--token", begun["worker"], f"{machines.address('m1')}:6443", "--node-name", "m2")
    nodes = json.loads(machines.kubectl("get", "nodes", "-o", "json"))["items"]
    blocks = [ip_network(each["spec"]["podCIDRs"][1]) for each in nodes]
    assert len(set(blocks)) == 2
    assert all(block.subnet_of(ip_network("fd00:42::/56")) for block in blocks)  # type: ignore[arg-type]
    shown = machines.motet("m1", "node", "inspect", "m2")
    assert str(blocks[[each["metadata"]["name"] for each in nodes].index("m2")]) in shown
    machines.kubectl("create", "service", "clusterip", "web", "--tcp=80")
    machines.kubectl("patch", "service", "web", "--type=merge", "-p", '{"spec":{"ipFamilyPolicy":"RequireDualStack"}}')
    spec = json.loads(machines.kubectl("get", "service", "web", "-o", "json"))["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert spec["clusterIPs"][1].startswith("fd00:43::")
    # What is asked for again must be what there is.
    assert "motet join --token" in machines.motet("m1", "init", "--dual-stack")
    assert "begun with --pod-cidr" in machines.motet("m1", "init", "--pod-cidr", "10.8.0.0/16", fails=True)
