"""A cluster of three nodes on this machine: pods on all of them, the way between them, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from tests.testbed.world import NODES, Json, World, reaches, until

from motet.kinds import namespace, networkpolicy, node
from motet.machine import lifecycle
from motet.network.overlay.peers import mac_of
from motet.testbed import plan as plans
from motet.testbed.plan import TestbedError
from motet.testbed.switch import Switch
from support.capture import tap

pytestmark = pytest.mark.node


async def test_every_pod_reaches_every_pod_on_every_node(world: World) -> None:
    for name in NODES:
        assert await world.reached(name) == "n1 n2 n3"


async def test_pods_see_the_address_of_the_pod_that_talks_to_them(world: World) -> None:
    for name in NODES:
        await world.reached(name)
    for name in NODES:
        (log,) = world.testbed.box(name).machine.pod_logs.glob("*/app/0.log")
        assert all(f"{address}]" in log.read_text() for address in world.addresses.values())


async def test_what_pods_say_to_each_other_is_seen_between_nodes_unless_the_cluster_is_encrypted(world: World) -> None:
    """The same look finds nothing in an encrypted cluster (`machine/test_encryption`)."""
    switch = Switch(plans.tag(world.testbed.directory)).namespace
    with tap(switch, "port1") as seen:
        await world.in_pod("n1", f"timeout 2 wget -q -O - http://{world.addresses['n2']}:8080/in-the-clear-from-a-pod")
        assert seen.shows(b"in-the-clear-from-a-pod")
        assert not seen.datagrams(51842)


async def test_a_service_is_found_by_name_and_reached_from_every_node(world: World) -> None:
    for name in NODES:
        script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do timeout 2 wget -q -O - http://web/; done"
        answers = (await world.in_pod(name, script)).split()
        assert len(answers) == 12
        assert len(set(answers)) > 1


async def test_every_node_publishes_the_port_wherever_the_pods_are(world: World) -> None:
    for name in NODES:
        outside = [world.from_machine(f"http://{world.testbed.address(name)}:30080/") for _ in range(8)]
        assert all(outside)
        assert len(set(outside)) > 1
        assert all(world.from_machine("http://127.0.0.1:30080/", node=name) for _ in range(8))


async def test_a_node_reaches_pods_of_the_others(world: World) -> None:
    for name in NODES:
        for other in NODES:
            assert world.from_machine(f"http://{world.addresses[other]}:8080/", node=name) == f"web-{other}"


async def test_what_somebody_starts_on_a_node_ends_with_it(world: World) -> None:
    box = world.testbed.box("n1")
    groups = subprocess.run(box.inside(["cat", "/proc/self/cgroup"]), check=True, capture_output=True, text=True).stdout
    assert f"{box.machine.cgroup_root}/box" in groups


async def test_a_route_somebody_deleted_comes_back_within_a_second_or_two(world: World) -> None:
    box = world.testbed.box("n1")
    pods = IPv4Network(f"{world.addresses['n2']}/24", strict=False)
    subprocess.run(box.inside(["ip", "route", "del", str(pods)]), check=True)
    subprocess.run(box.inside(["bridge", "fdb", "del", mac_of(pods), "dev", "motet-overlay"]), check=True)

    async def back() -> bool:
        return bool(world.from_machine(f"http://{world.addresses['n2']}:8080/", node="n1"))

    await until(back, 5)


async def test_a_policy_is_kept_between_nodes_and_taken_back(world: World) -> None:
    def policy(name: str, spec: Json) -> Json:
        return {"metadata": {"name": name}, "spec": spec}

    async with world.testbed.client() as client:
        await client.create(networkpolicy.KIND, policy("none", {"podSelector": {}}), "default")
        await until(lambda: reaches(world, {"n1": "n1", "n2": "n2", "n3": "n3"}))
        assert world.from_machine(f"http://{world.addresses['n1']}:8080/", node="n1"), "a node reaches its own pods"
        allow = {
            "podSelector": {"matchLabels": {"on": "n2"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"on": "n1"}}}], "ports": [{"port": "http"}]}],
        }
        await client.create(networkpolicy.KIND, policy("some", allow), "default")
        await until(lambda: reaches(world, {"n1": "n1 n2", "n2": "n2", "n3": "n3"}))
        for name in ("none", "some"):
            await client.delete(networkpolicy.KIND, name, "default")
        await until(lambda: reaches(world, dict.fromkeys(NODES, "n1 n2 n3")))


async def test_a_policy_about_ways_out_includes_names(world: World) -> None:
    ask = "timeout 2 nslookup web.default.svc.cluster.local >/dev/null 2>&1 && echo yes || echo no"
    peers: list[Json] = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    spec: Json = {"podSelector": {}, "policyTypes": ["Egress"]}
    names = {**spec, "egress": [{"to": peers, "ports": [{"port": 53, "protocol": "UDP"}]}]}

    async def answers(wanted: str) -> bool:
        return (await world.in_pod("n2", ask)).strip() == wanted

    async with world.testbed.client() as client:
        await client.create(networkpolicy.KIND, {"metadata": {"name": "out"}, "spec": spec}, "default")
        await until(lambda: answers("no"))
        await client.create(networkpolicy.KIND, {"metadata": {"name": "names"}, "spec": names}, "default")
        await until(lambda: answers("yes"))
        for name in ("out", "names"):
            await client.delete(networkpolicy.KIND, name, "default")


async def test_a_namespace_has_its_own_name_for_policies_to_select(world: World) -> None:
    async with world.testbed.client() as client:
        found = await client.get(namespace.KIND, "default")
    assert (found.meta.labels or {}).get("kubernetes.io/metadata.name") == "default"


async def test_losing_every_packet_is_being_away_until_it_is_healed(world: World) -> None:
    url = f"http://{world.testbed.address('n3')}:30080/"
    world.testbed.lose("n3", 100)
    assert world.from_machine(url) == ""
    world.testbed.lose("n3", 0)

    async def heard() -> bool:
        return world.from_machine(url) != ""

    await until(heard, 10)


async def test_a_node_that_lost_power_comes_back_with_its_pods_and_its_place(world: World) -> None:
    before = await pod_network(world, "n2")
    box = world.testbed.box("n2")
    world.testbed.kill("n2")
    assert box.pid == 0
    with pytest.raises(TestbedError, match="is off"):
        world.testbed.kill("n2")
    was = world.addresses["n2"]
    await world.testbed.start("n2")
    await world.testbed.until_ready(["n2"])
    assert await pod_network(world, "n2") == before
    await world.running("n2", unlike=was)
    assert await world.reached("n1") == "n1 n2 n3"


async def test_motet_killed_on_a_node_is_started_again_and_its_pods_notice_nothing(world: World) -> None:
    box, was = world.testbed.box("n2"), world.addresses["n2"]
    daemon = lifecycle.running(box.machine)
    os.kill(daemon, signal.SIGKILL)
    await until(lambda: _ended(daemon), 5)
    assert box.pid
    assert world.from_machine(f"http://{was}:8080/", node="n1") == "web-n2"
    await world.testbed.start("n2")
    await world.testbed.until_ready(["n2"])
    with pytest.raises(TestbedError, match="is on already"):
        await world.testbed.start("n2")
    await world.running("n2")
    assert world.addresses["n2"] == was


async def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_a_node_that_is_cut_off_is_not_ready_and_is_again_when_it_is_back(world: World) -> None:
    world.testbed.cut("n3")

    async def unheard() -> bool:
        return (await world.testbed.states())["n3"].startswith("NotReady")

    await until(unheard)
    assert world.from_machine(f"http://{world.addresses['n3']}:8080/", node="n3") == "web-n3", "its pods run on"
    world.testbed.cut("n3", cut=False)
    await world.testbed.until_ready(["n3"])
    assert await world.reached("n1") == "n1 n2 n3"


async def pod_network(world: World, name: str) -> str:
    async with world.testbed.client() as client:
        cidr: str = (await client.get(node.KIND, name)).decode()["spec"]["podCIDR"]
    return cidr
