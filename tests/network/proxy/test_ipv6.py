"""Services over IPv6 through real nftables, beside IPv4: what a client gets to see, from a pod, from the node, from outside."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.network.lab import CLIENT_SIX, NODE, NODE_SIX, Lab, inside, lab, until

pytestmark = pytest.mark.node
VIP, SIX = "10.43.0.80", "fd00:43::80"
HTTP = {"port": 80, "protocol": "TCP", "targetPort": 80}
BOTH: dict[str, Any] = {"clusterIPs": [VIP, SIX], "ipFamilies": ["IPv4", "IPv6"]}


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path, dual=True) as made:
        yield made


async def back(it: Lab, *numbers: int, name: str = "web", port: int = 80, protocol: str = "TCP") -> None:
    """Pods of these numbers are the endpoints, by both families."""
    await it.back(name, *(str(it.config.pods[each]) for each in numbers), port=port, protocol=protocol)
    await it.back(name, *(it.second(each) for each in numbers), port=port, protocol=protocol)


async def test_a_service_of_both_families_is_reached_by_both_from_everywhere(it: Lab) -> None:
    for number in (2, 3, 4):
        it.serve(number, 80)
    async with it.proxy():
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort", **BOTH)
        await back(it, 2, 3, 4)
        await until(lambda: it.ask(SIX, 80))
        for address, port, of in (
            (SIX, 80, ""),
            (SIX, 80, it.namespace(2)),
            (NODE_SIX, 30080, it.outside),
            (NODE, 30080, it.outside),
        ):
            spread = await asyncio.to_thread(it.spread, address, port, of=of, times=40)
            assert set(spread) == {"p2", "p3", "p4"}
        assert (await until(lambda: it.ask(NODE_SIX, 30080, of=it.outside))).endswith(f" {CLIENT_SIX}")
        with pytest.raises(ConnectionRefusedError):
            it.ask("::1", 30080)


async def test_a_service_of_one_family_takes_no_port_of_the_other(it: Lab) -> None:
    it.serve(2, 80)
    async with it.proxy():
        await it.publish("web", HTTP | {"nodePort": 30080}, cluster_ip=VIP, type="NodePort", ipFamilies=["IPv4"])
        await back(it, 2)
        await until(lambda: it.ask(NODE, 30080, of=it.outside))
        with pytest.raises(ConnectionRefusedError):
            it.ask(NODE_SIX, 30080, of=it.outside)


async def test_without_endpoints_and_without_a_service_a_connection_is_refused_at_once(it: Lab) -> None:
    it.pod(2)
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP, **BOTH)

        def refused(address: str) -> bool:
            try:
                it.ask(address, 80, of=it.namespace(2), timeout=1)
            except ConnectionRefusedError:
                return True
            return False

        assert await until(lambda: refused(SIX))
        assert await until(lambda: refused("fd00:43::99"))


async def test_a_client_stays_with_its_pod_and_moves_only_when_that_is_gone(it: Lab) -> None:
    for number in (2, 3, 4):
        it.serve(number, 80)
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    async with it.proxy():
        await it.publish("web", HTTP, cluster_ip=VIP, **BOTH, **affinity)
        await back(it, 2, 3, 4)
        first = (await until(lambda: it.ask(SIX, 80))).split()[0]
        assert set(await asyncio.to_thread(it.spread, SIX, 80, times=20)) == {first}
    # An agent's restart moves nobody.
    async with it.proxy():
        assert set(await asyncio.to_thread(it.spread, SIX, 80, times=20)) == {first}
        rest = [number for number in (2, 3, 4) if f"p{number}" != first]
        await back(it, *rest)
        await until(lambda: it.ask(SIX, 80).split()[0] != first)
        assert len(set(await asyncio.to_thread(it.spread, SIX, 80, times=20))) == 1


async def test_a_udp_flow_moves_when_its_endpoint_goes(it: Lab) -> None:
    for number in (2, 3):
        it.serve(number, 53)
    async with it.proxy():
        await it.publish("dns", {"port": 53, "protocol": "UDP", "targetPort": 53}, cluster_ip=VIP, **BOTH)
        await back(it, 2, name="dns", port=53, protocol="UDP")
        await until(lambda: it.ask(SIX, 53, udp=True))
        with it.connection(SIX, 53, udp=True, timeout=0.3) as flow:
            flow.send(b"?")
            assert flow.recv(100).startswith(b"p2")
            await back(it, 3, name="dns", port=53, protocol="UDP")

            def moved() -> bool:
                flow.send(b"?")
                return flow.recv(100).startswith(b"p3")

            assert await until(moved)


async def test_pods_see_each_other_and_what_leaves_them_comes_back(it: Lab) -> None:
    it.serve(2, 80)
    it.pod(3)
    it.listen(it.outside, "outside", 80, "::")
    async with it.proxy():
        assert await until(lambda: it.ask(it.second(2), 80, of=it.namespace(3))) == f"p2 {it.second(3)}"
        assert await until(lambda: it.ask(CLIENT_SIX, 80, of=it.namespace(2))) == f"outside {NODE_SIX}"


async def test_a_pod_cannot_pose_as_the_others_router(it: Lab) -> None:
    it.pod(2)
    it.pod(3)
    async with it.proxy():
        with inside(it.namespace(3)):
            heard = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            index = socket.if_nametoindex("eth0")
            heard.setsockopt(
                socket.IPPROTO_IPV6,
                socket.IPV6_JOIN_GROUP,
                socket.inet_pton(socket.AF_INET6, "ff02::1") + struct.pack("I", index),
            )
        with inside(it.namespace(2)):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            index = socket.if_nametoindex("eth0")
        with heard, sender:
            heard.settimeout(1.0)
            # A router's advertisement, and then an echo request that shows the way is open.
            sender.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
            sender.sendto(struct.pack("!BBHHH", 128, 0, 0, 7, 7), ("ff02::1", 0, 0, index))
            kinds = []
            while 128 not in kinds:
                kinds.append(heard.recv(200)[0])
            assert 134 not in kinds
