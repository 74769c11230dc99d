"""Networks on a node with a real kernel: pods that are namespaces on its bridge, services, published ports, and real packets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from motet.kinds import network, networkpolicy, podaddress
from motet.kinds import pod as pod_kind
from motet.kinds.attachments import ANNOTATION
from motet.network.policy.loop import Policies
from motet.network.proxy.nft import Nft
from motet.network.roster import Roster

from ..lab import CLIENT, NODE, Lab, inside, lab, until

pytestmark = pytest.mark.node

FRONT, BOTH, BACK, PLAIN, INNER, INNER2 = 10, 11, 12, 13, 14, 15
ON = {FRONT: "front", BOTH: "front back", BACK: "back", INNER: "inner", INNER2: "inner"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as made:
        for number in (FRONT, BOTH, BACK, PLAIN, INNER, INNER2):
            made.serve(number, 80)
        yield made


@pytest.fixture(autouse=True)
async def roster(made: Lab) -> AsyncIterator[Roster]:
    """The node with all its pods known, and rules in force."""
    made.client = type(made.client)()
    client: Any = made.client
    for name, internal in (("front", False), ("back", False), ("inner", True)):
        await client.create(network.KIND, {"metadata": {"name": name}, "spec": {"internal": internal}}, "default")
    for number in (FRONT, BOTH, BACK, PLAIN, INNER, INNER2):
        annotations = {ANNOTATION: ON[number]} if number in ON else {}
        document = {
            "metadata": {"name": f"p{number}", "labels": {"number": str(number)}, "annotations": annotations},
            "spec": {"nodeName": "n1"},
            "status": {"phase": "Running", "podIP": f"10.42.0.{number}"},
        }
        await client.create(podaddress.KIND, document, "default")
    roster = Roster(client, "n1")
    running = asyncio.ensure_future(Policies(client, made.config, Nft(), roster).run())
    try:
        await roster.awake()
        await roster.enforced()
        yield roster
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def reaches(made: Lab, of: int, to: str, port: int = 80, *, udp: bool = False) -> bool:
    """Asked from a pod, or from outside for 0. Anything but an answer within half a second is no."""
    where = made.namespace(of) if of else made.outside

    def ask() -> bool:
        try:
            return bool(made.ask(to, port, of=where, udp=udp, timeout=0.4))
        except OSError:
            return False

    return await asyncio.to_thread(ask)


async def pings(made: Lab, of: int, to: int) -> bool:
    def ping() -> bool:
        with inside(made.namespace(of)), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            sock.settimeout(0.4)
            sock.sendto(b"\x08\x00\xf7\xff\x00\x00\x00\x00", (f"10.42.0.{to}", 0))
            try:
                return sock.recvfrom(200)[1][0] == f"10.42.0.{to}"
            except OSError:
                return False

    return await asyncio.to_thread(ping)


def at(number: int) -> str:
    return f"10.42.0.{number}"


@pytest.mark.parametrize("udp", [False, True])
async def test_pods_reach_whom_they_share_a_network_with_and_nobody_else_in_either_direction(
    made: Lab, udp: bool
) -> None:
    pods = (FRONT, BOTH, BACK, PLAIN)
    pairs = [(one, two) for one in pods for two in pods if one != two]
    found = await asyncio.gather(*(reaches(made, one, at(two), udp=udp) for one, two in pairs))
    joined = {(FRONT, BOTH), (BOTH, FRONT), (BACK, BOTH), (BOTH, BACK)}
    assert {pair for pair, answered in zip(pairs, found, strict=True) if answered} == joined


async def test_icmp_is_no_way_round(made: Lab) -> None:
    assert await pings(made, FRONT, BOTH)
    assert not await pings(made, FRONT, BACK)
    assert not await pings(made, PLAIN, FRONT)


async def test_neither_are_the_ipv6_addresses_that_interfaces_give_themselves(made: Lab) -> None:
    def own_address(number: int) -> str:
        with inside(made.namespace(number)):
            found = [line.split() for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines()]
        return socket.inet_ntop(
            socket.AF_INET6, next(bytes.fromhex(words[0]) for words in found if words[0].startswith("fe80"))
        )

    async def answered(of: int, to: int) -> bool:
        with inside(made.namespace(to)):
            server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            server.bind(("::", 0))
        with inside(made.namespace(of)):
            asker = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            scope = socket.if_nametoindex("eth0")
        with server, asker:
            server.settimeout(0.5)
            with contextlib.suppress(OSError):
                asker.sendto(b"?", (own_address(to), server.getsockname()[1], 0, scope))
            try:
                return await asyncio.to_thread(server.recv, 10) == b"?"
            except OSError:
                return False

    await until(lambda: own_address(FRONT) and own_address(BACK))
    assert not await answered(FRONT, BACK)
    await asyncio.to_thread(Nft().run, f"flush table ip6 {made.config.table}_policy")
    assert any([await answered(FRONT, BACK) for _ in range(10)]), "without the rule it would have been one"


async def test_a_node_reaches_its_pods_and_they_reach_it(made: Lab) -> None:
    for number in (FRONT, INNER):
        assert (await asyncio.to_thread(made.ask, at(number), 80)).startswith(f"p{number} ")


async def test_internal_networks_have_no_way_out_and_others_do(made: Lab) -> None:
    made.listen(made.outside, "outside", 81)
    assert await reaches(made, FRONT, CLIENT, 81)
    assert not await reaches(made, INNER, CLIENT, 81)
    assert await reaches(made, INNER, at(INNER2))


async def test_nobody_outside_gets_at_a_pods_own_address(made: Lab) -> None:
    assert await reaches(made, 0, at(PLAIN))
    assert not await reaches(made, 0, at(FRONT))
    assert not await reaches(made, 0, at(INNER))


async def test_a_service_is_no_way_into_a_network_and_its_published_port_is_one(made: Lab) -> None:
    port = {"port": 80, "nodePort": 30080, "protocol": "TCP"}
    await made.publish("back", port, cluster_ip="10.43.0.20", type="NodePort")
    await made.back("back", at(BACK))
    async with made.proxy():
        await until(lambda: made.ask(NODE, 30080, of=made.outside))
        assert await reaches(made, BOTH, "10.43.0.20")
        for stranger in (FRONT, PLAIN, INNER):
            assert not await reaches(made, stranger, "10.43.0.20")
        for somebody in (0, FRONT, PLAIN):
            assert await reaches(made, somebody, NODE, 30080)
        assert not await reaches(made, INNER, NODE, 30080), "an internal network has no way to a node's ports either"


async def test_a_published_port_of_an_internal_network_is_reached_from_outside(made: Lab) -> None:
    await made.publish(
        "inner", {"port": 80, "nodePort": 30081, "protocol": "TCP"}, cluster_ip="10.43.0.21", type="NodePort"
    )
    await made.back("inner", at(INNER))
    async with made.proxy():
        assert await until(lambda: made.ask(NODE, 30081, of=made.outside)) == f"p{INNER} {CLIENT}"


async def test_a_policy_and_a_network_must_both_allow(made: Lab) -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"number": str(PLAIN)}}}]}
    spec = {"podSelector": {"matchLabels": {"number": str(BOTH)}}, "ingress": [rule]}
    await made.client.create(networkpolicy.KIND, {"metadata": {"name": "only-plain"}, "spec": spec}, "default")
    deadline = time.monotonic() + 5
    while await reaches(made, FRONT, at(BOTH)):
        assert time.monotonic() < deadline
    assert not await reaches(made, PLAIN, at(BOTH))
    assert not await reaches(made, BACK, at(BOTH))


async def test_joining_and_leaving_take_effect_while_the_pod_runs(made: Lab) -> None:
    assert not await reaches(made, PLAIN, at(FRONT))
    for networks, wanted in ((None, False), ("front", True), (None, False)):
        patch = {"metadata": {"annotations": {ANNOTATION: networks}}}
        await made.client.patch(pod_kind.KIND, f"p{PLAIN}", patch, "default")
        deadline = time.monotonic() + 5
        while await reaches(made, PLAIN, at(FRONT)) != wanted:
            assert time.monotonic() < deadline


async def test_a_pod_that_only_the_node_knows_yet_is_kept_apart_already(made: Lab, roster: Roster) -> None:
    """Its address has not gone to the API: exactly then its containers are about to start."""
    document = {"metadata": {"name": "new", "annotations": {ANNOTATION: "back"}}, "spec": {"nodeName": "n1"}}
    bound = await made.client.create(pod_kind.KIND, document, "default")
    address = made.serve(20, 80)
    roster.admit(bound, address)
    await roster.enforced()
    assert await reaches(made, 20, at(BACK))
    for one, two in ((20, at(FRONT)), (20, at(PLAIN)), (PLAIN, address), (FRONT, address)):
        assert not await reaches(made, one, two)


async def test_a_pod_sends_under_no_other_address_than_its_own(made: Lab, roster: Roster) -> None:
    """A container may have raw sockets. What it sends as BOTH would get through to BACK."""

    async def heard(source: str) -> bool:
        with inside(made.namespace(BACK)):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("0.0.0.0", 0))
        with inside(made.namespace(FRONT)):
            liar = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with server, liar:
            server.settimeout(0.3)
            body = struct.pack("!HHHH", 4000, server.getsockname()[1], 9, 0) + b"?"
            ends = socket.inet_aton(source) + socket.inet_aton(at(BACK))
            liar.sendto(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, 17, 0) + ends + body, (at(BACK), 0))
            try:
                return await asyncio.to_thread(server.recv, 10) == b"?"
            except OSError:
                return False

    assert await heard(at(BOTH)), "as long as nobody knows whose port it is"
    roster._port_of = lambda sandbox: f"veth{sandbox}"
    for number in (FRONT, BOTH):
        document = await made.client.get(podaddress.KIND, f"p{number}", "default")
        roster.admit(document, at(number), str(number))
    await roster.enforced()
    assert not await heard(at(BOTH))
    assert await reaches(made, FRONT, at(BOTH))
    assert await reaches(made, BOTH, at(BACK))
