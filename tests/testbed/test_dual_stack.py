"""A cluster of both families on two nodes: what its pods, Services, names and policies do with IPv6, beside IPv4."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.world import IMAGE, World, left, runtime_of, until

from motet.kinds import endpointslice, network, networkpolicy, node, pod, service
from motet.network.wireguard.config import PORT
from motet.testbed import plan as plans
from motet.testbed.cluster import Testbed
from motet.testbed.switch import Switch
from support.capture import tap
from support.images import busybox_image

pytestmark = pytest.mark.node

NODES = ("n1", "n2")
_SERVE = """#!/bin/sh
mkdir -p /tmp/www; echo $HOSTNAME > /tmp/www/index.html; echo $ADDRESSES > /tmp/www/addresses
exec httpd -f -p 8080 -h /tmp/www
"""


class Dual(World):
    """Pods `web-n1` and `web-n2` behind the Service `web`, of both families, and `node-n1` in the node's own network."""

    async def prepare(self, archive: Path) -> None:
        busybox_image(archive, IMAGE, {"serve": _SERVE})
        await self.testbed.load_image(archive)
        async with self.testbed.client() as client:
            for name in NODES:
                await client.create(pod.KIND, _pod(f"web-{name}", name), "default")
            await client.create(pod.KIND, _pod("node-n1", "n1", hostNetwork=True), "default")
            port = {"port": 80, "targetPort": "http", "nodePort": 30080}
            spec = {
                "type": "NodePort",
                "selector": {"app": "web"},
                "ipFamilyPolicy": "RequireDualStack",
                "ports": [port],
            }
            await client.create(service.KIND, {"metadata": {"name": "web"}, "spec": spec}, "default")
            headless = {"clusterIP": "None", "selector": {"app": "web"}, "ipFamilyPolicy": "PreferDualStack"}
            await client.create(
                service.KIND, {"metadata": {"name": "each"}, "spec": {**headless, "ports": [{"port": 8080}]}}, "default"
            )
        for name in NODES:
            await self.running(name)

    async def read(self, kind: Any, name: str, namespace: str = "default") -> dict[str, Any]:
        async with self.testbed.client() as client:
            return dict((await client.get(kind, name, namespace)).decode())

    async def ips(self, name: str) -> list[str]:
        return [each["ip"] for each in (await self.read(pod.KIND, name))["status"].get("podIPs", ())]

    async def ask(self, name: str, url: str) -> str:
        """What the pod of a node gets from a URL."""
        async with runtime_of(self.testbed.box(name)) as runtime:
            running = [each for each in await runtime.containers() if each.state == "running" and each.name == "app"]
            script = f"timeout 2 wget -q -O - '{url}'"
            result = await runtime.exec_sync(running[-1].id, ("sh", "-c", script), 30)
        return result.stdout.decode().strip()

    async def says(self, name: str, script: str) -> str:
        async with runtime_of(self.testbed.box(name)) as runtime:
            running = [each for each in await runtime.containers() if each.state == "running" and each.name == "app"]
            return (await runtime.exec_sync(running[-1].id, ("sh", "-c", script), 30)).stdout.decode()


def _pod(name: str, where: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "app" if not spec else "host",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/serve"] if not spec else ["sleep", "1000"],
        "env": [{"name": "ADDRESSES", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}],
        **({"ports": [{"name": "http", "containerPort": 8080}]} if not spec else {}),
    }
    labels = {"app": "web", "on": where} if not spec else {}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": where, "terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


@pytest.fixture(scope="module")
def dual() -> Iterator[Dual]:
    with tempfile.TemporaryDirectory(prefix="motet-dual-", dir="/var/tmp") as directory:
        testbed = Testbed(Path(directory, "bed"))
        roots: list[str] = []
        try:
            asyncio.run(testbed.up(2, dual_stack=True))
            roots = [testbed.box(name).machine.cgroup_root for name in NODES]
            made = Dual(testbed)
            asyncio.run(made.prepare(Path(directory, "image.tar")))
            yield made
        finally:
            asyncio.run(testbed.down())
        assert left(plans.tag(testbed.directory), roots) == []


async def test_nodes_and_pods_have_addresses_of_both_families(dual: Dual) -> None:
    plan = dual.testbed.plan
    pods = ip_network(plan.ranges_six[0])
    for name in NODES:
        found = await dual.read(node.KIND, name, "")
        own, second = found["spec"]["podCIDRs"]
        assert found["spec"]["podCIDR"] == own
        assert ip_network(second).prefixlen == 64
        assert ip_network(second).network_address in pods
        told = [each["address"] for each in found["status"]["addresses"] if each["type"] == "InternalIP"]
        assert told == [dual.testbed.address(name), str(plan.address_six(plan.member(name)))]
        status = (await dual.read(pod.KIND, f"web-{name}"))["status"]
        assert [each["ip"] for each in status["hostIPs"]] == told
        first, six = (each["ip"] for each in status["podIPs"])
        assert status["podIP"] == first
        assert ip_address(first) in ip_network(own)
        assert ip_address(six) in ip_network(second)
        assert await dual.ask(name, "http://127.0.0.1:8080/addresses") == f"{first},{six}"

    async def known() -> bool:
        return len(await dual.ips("node-n1")) == 2

    await until(known)


async def test_pods_and_services_are_reached_by_both_families(dual: Dual) -> None:
    _, six = await dual.ips("web-n2")
    assert await dual.ask("n1", f"http://[{six}]:8080/") == "web-n2"
    first, second = (await dual.read(service.KIND, "web"))["spec"]["clusterIPs"]

    async def answered(*urls: str) -> bool:
        return all([(await dual.ask("n1", url)).startswith("web-") for url in urls])

    await until(lambda: answered(f"http://{first}/", f"http://[{second}]/", "http://web.default.svc.cluster.local/"))
    async with dual.testbed.client() as client:
        slices = [each.decode() for each in await client.table(endpointslice.KIND)]
    families = {
        each["addressType"] for each in slices if each["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    }
    assert families == {"IPv4", "IPv6"}
    # From this machine, by the node ports of either family.
    plan = dual.testbed.plan
    for host in (dual.testbed.address("n1"), f"[{plan.address_six(plan.member('n1'))}]"):
        got = {dual.from_machine(f"http://{host}:30080/") for _ in range(20)}
        assert got == {"web-n1", "web-n2"}, host


async def test_names_have_addresses_of_both_families(dual: Dual) -> None:
    spec = (await dual.read(service.KIND, "web"))["spec"]
    told = await dual.says("n1", "nslookup -type=aaaa web.default.svc.cluster.local")
    assert spec["clusterIPs"][1] in told
    assert spec["clusterIPs"][0] not in told.partition("Name")[2]
    told = await dual.says("n1", "nslookup -type=aaaa each.default.svc.cluster.local")
    for name in NODES:
        assert (await dual.ips(f"web-{name}"))[1] in told
    told = await dual.says("n1", f"nslookup -type=ptr {ip_address(spec['clusterIPs'][1]).reverse_pointer}")
    assert "web.default.svc.cluster.local" in told


async def test_a_pod_that_lets_nobody_in_is_closed_to_both_families(dual: Dual) -> None:
    first, six = await dual.ips("web-n2")
    urls = (f"http://{first}:8080/", f"http://[{six}]:8080/")
    deny = {"podSelector": {"matchLabels": {"on": "n2"}}, "policyTypes": ["Ingress"]}

    async def got() -> list[str]:
        return [await dual.ask("n1", url) for url in urls]

    async def closed() -> bool:
        return await got() == ["", ""]

    async def opened() -> bool:
        return await got() == ["web-n2", "web-n2"]

    await until(opened)
    async with dual.testbed.client() as client:
        await client.create(networkpolicy.KIND, {"metadata": {"name": "deny"}, "spec": deny}, "default")
        await until(closed)
        only = {**deny, "ingress": [{"from": [{"ipBlock": {"cidr": dual.testbed.plan.ranges_six[0]}}]}]}
        await client.update(networkpolicy.KIND, {"metadata": {"name": "deny", "namespace": "default"}, "spec": only})

        async def by_six_alone() -> bool:
            return await got() == ["", "web-n2"]

        await until(by_six_alone)
        await client.delete(networkpolicy.KIND, "deny", "default")
        await until(opened)


async def test_pods_of_an_encrypted_network_are_not_overheard_by_either_family(dual: Dual) -> None:
    first, six = await dual.ips("web-n2")
    urls = (f"http://{first}:8080/", f"http://[{six}]:8080/")
    switch = Switch(plans.tag(dual.testbed.directory)).namespace

    async def annotate(networks: str | None) -> None:
        async with dual.testbed.client() as client:
            for name in NODES:
                note = {"metadata": {"annotations": {"motet.dev/networks": networks}}}
                await client.patch(pod.KIND, f"web-{name}", note, "default")

    async def opened() -> bool:
        return [await dual.ask("n1", url) for url in urls] == ["web-n2", "web-n2"]

    await until(opened)
    with tap(switch, "port1") as seen:
        for number, url in enumerate(urls):
            await dual.ask("n1", f"{url}said-in-clear-{number}")
        assert seen.shows(b"said-in-clear-0")
        assert seen.shows(b"said-in-clear-1")
    async with dual.testbed.client() as client:
        spec = {"encrypted": True, "attachable": True}
        await client.create(network.KIND, {"metadata": {"name": "secret"}, "spec": spec}, "default")
        await annotate("secret")
        await until(opened)
        with tap(switch, "port1") as seen:
            for url in urls:
                await dual.ask("n1", f"{url}said-in-secret")
            assert not seen.shows(b"said-in-secret")
            assert seen.datagrams(PORT)
        await annotate(None)
        await client.delete(network.KIND, "secret", "default")
    await until(opened)
