"""What is closed is closed for IPv6 too: Networks and policies on a node of a dual-stack cluster, with real packets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from motet.kinds import network, networkpolicy
from motet.kinds import pod as pod_kind
from motet.kinds.attachments import ANNOTATION
from motet.network.policy import guard, ruleset
from motet.network.policy.loop import Policies
from motet.network.proxy.nft import Nft
from motet.network.roster import Roster
from motet.store.document import Document

from ..lab import Lab, inside, lab, until

pytestmark = pytest.mark.node

FRONT, BOTH, BACK, PLAIN, OTHER = 10, 11, 12, 13, 14
ON = {FRONT: "front", BOTH: "front back", BACK: "back"}
ALL = (FRONT, BOTH, BACK, PLAIN, OTHER)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), dual=True) as made:
        for number in ALL:
            made.serve(number, 80)
        # The client outside asks for the way only when it is sure of its own address.
        asyncio.run(until(lambda: made.ask(made.second(PLAIN), 80, of=made.outside, timeout=0.4)))
        yield made


@contextlib.asynccontextmanager
async def enforced(made: Lab, *policies: dict[str, Any], networks: bool = False) -> AsyncIterator[Roster]:
    """The node with all its pods known, and rules in force."""
    made.client = type(made.client)()
    client: Any = made.client
    for name in ("front", "back") if networks else ():
        await client.create(network.KIND, {"metadata": {"name": name}, "spec": {}}, "default")
    for number, spec in enumerate(policies):
        document = {"metadata": {"name": f"policy-{number}"}, "spec": spec}
        await client.create(networkpolicy.KIND, document, "default")
    roster = Roster(client, "n1", lambda sandbox: f"veth{sandbox}")
    running = asyncio.ensure_future(Policies(client, made.config, Nft(), roster).run())
    try:
        for number in ALL:
            annotations = {ANNOTATION: ON[number]} if networks and number in ON else {}
            metadata = {"name": f"p{number}", "labels": {"number": str(number)}, "annotations": annotations}
            spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
            await client.create(pod_kind.KIND, {"metadata": metadata, "spec": spec}, "default")
            document = (await client.table(pod_kind.KIND)).get(f"p{number}", "default")
            assert isinstance(document, Document)
            roster.admit(document, str(made.config.pods[number]), str(number), made.second(number))
        await roster.awake()
        await roster.enforced()
        yield roster
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        # Rules stay in force when the process ends.
        Nft().run(ruleset.remove(made.config) + guard.remove(made.config))


async def reaches(made: Lab, of: int, to: str, port: int = 80) -> bool:
    """Asked from a pod, or from outside for 0. Anything but an answer within half a second is no."""
    where = made.namespace(of) if of else made.outside

    def ask() -> bool:
        try:
            return bool(made.ask(to, port, of=where, timeout=0.4))
        except OSError:
            return False

    return await asyncio.to_thread(ask)


def link_local(made: Lab, number: int, seen_from: int) -> str:
    shown = subprocess.run(
        ["ip", "-n", made.namespace(number), "-o", "address", "show", "dev", "eth0", "scope", "link"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    address = next(word for word in shown.split() if word.startswith("fe80"))
    with inside(made.namespace(seen_from)):
        return f"{address.partition('/')[0]}%{socket.if_nametoindex('eth0')}"


async def test_pods_reach_whom_they_share_a_network_with_and_nobody_else(made: Lab) -> None:
    pods = (FRONT, BOTH, BACK, PLAIN)
    pairs = [(one, two) for one in pods for two in pods if one != two]
    async with enforced(made, networks=True):
        found = await asyncio.gather(*(reaches(made, one, made.second(two)) for one, two in pairs))
        joined = {(FRONT, BOTH), (BOTH, FRONT), (BACK, BOTH), (BOTH, BACK)}
        assert {pair for pair, answered in zip(pairs, found, strict=True) if answered} == joined
        assert not await reaches(made, 0, made.second(FRONT))
        assert await reaches(made, 0, made.second(PLAIN))


async def test_a_pod_that_lets_nobody_in_is_closed_by_every_address_it_has(made: Lab) -> None:
    neighbour = link_local(made, FRONT, PLAIN)
    await until(lambda: made.ask(neighbour, 80, of=made.namespace(PLAIN)))
    closed = {"podSelector": {"matchLabels": {"number": str(FRONT)}}, "policyTypes": ["Ingress"]}
    async with enforced(made, closed):
        for address in (str(made.config.pods[FRONT]), made.second(FRONT), neighbour):
            assert not await reaches(made, PLAIN, address)
        assert not await reaches(made, 0, made.second(FRONT))
        # Others are open, and the closed one gets out.
        assert await reaches(made, PLAIN, made.second(BACK))
        assert await reaches(made, FRONT, made.second(BACK))
    assert await reaches(made, PLAIN, made.second(FRONT))


async def test_blocks_are_of_the_family_they_are_written_in(made: Lab) -> None:
    some = {"ipBlock": {"cidr": "fd00:42::/64", "except": [f"{made.second(OTHER)}/128"]}}
    open_to_some = {
        "podSelector": {"matchLabels": {"number": str(FRONT)}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [some], "ports": [{"port": 80}]}],
    }
    nothing_out = {
        "podSelector": {"matchLabels": {"number": str(BACK)}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
    }
    async with enforced(made, open_to_some, nothing_out):
        assert await reaches(made, PLAIN, made.second(FRONT))
        assert not await reaches(made, PLAIN, str(made.config.pods[FRONT]))
        assert not await reaches(made, OTHER, made.second(FRONT))
        assert not await reaches(made, 0, made.second(FRONT))
        assert await reaches(made, BACK, str(made.config.pods[PLAIN]))
        assert not await reaches(made, BACK, made.second(PLAIN))


async def test_a_selector_means_a_pod_by_both_its_addresses(made: Lab) -> None:
    friend = {"podSelector": {"matchLabels": {"number": str(BOTH)}}}
    spec = {"podSelector": {"matchLabels": {"number": str(FRONT)}}, "ingress": [{"from": [friend]}]}
    async with enforced(made, spec):
        assert await reaches(made, BOTH, made.second(FRONT))
        assert await reaches(made, BOTH, str(made.config.pods[FRONT]))
        assert not await reaches(made, PLAIN, made.second(FRONT))


async def test_a_pod_sends_under_its_own_address_alone(made: Lab) -> None:
    friend = {"podSelector": {"matchLabels": {"number": str(BOTH)}}}
    spec = {"podSelector": {"matchLabels": {"number": str(FRONT)}}, "ingress": [{"from": [friend]}]}
    async with enforced(made, spec):
        with inside(made.namespace(FRONT)):
            heard = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            heard.bind(("::", 5000))
            heard.settimeout(0.5)
        with heard:
            assert _datagrams(made, BOTH, made.second(BOTH), made.second(FRONT), heard)
            assert not _datagrams(made, PLAIN, made.second(BOTH), made.second(FRONT), heard)


def _datagrams(made: Lab, of: int, source: str, to: str, heard: socket.socket) -> bool:
    """Whether a datagram that a pod sends under a source address arrives."""
    with inside(made.namespace(of)):
        subprocess.run(["ip", "address", "replace", f"{source}/128", "dev", "eth0", "nodad"], check=True)
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        with sender:
            sender.bind((source, 0))
            sender.sendto(b"!", (to, 5000))
            return heard.recvfrom(10)[1][0] == source
    except TimeoutError:
        return False
    finally:
        if source != made.second(of):
            with inside(made.namespace(of)):
                subprocess.run(["ip", "address", "del", f"{source}/128", "dev", "eth0"], check=True)


async def test_a_pod_cannot_answer_for_anothers_address(made: Lab) -> None:
    closed = {"podSelector": {"matchLabels": {"number": str(OTHER)}}, "policyTypes": ["Ingress"]}
    async with enforced(made, closed):
        await until(lambda: made.ask(made.second(BOTH), 80, of=made.namespace(FRONT)))
        with inside(made.namespace(PLAIN)):
            sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        # An advertisement that overrides what is known (RFC 4861, 4.4), with a hardware address that nobody has.
        target = socket.inet_pton(socket.AF_INET6, made.second(BOTH))
        with sender:
            sender.sendto(
                struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\x02\x01" + b"\x02" * 6,
                (made.second(FRONT), 0),
            )
        await asyncio.sleep(0.1)
        known = subprocess.run(
            ["ip", "-n", made.namespace(FRONT), "-6", "neighbour", "show", made.second(BOTH)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "02:02:02:02:02:02" not in known
        assert made.second(BOTH) in known
