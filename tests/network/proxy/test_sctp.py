"""SCTP (RFC 9260) through a published port, packet by packet: many kernels track it and have no sockets for it."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.network.lab import CLIENT, NODE, Lab, inside, lab, until

pytestmark = pytest.mark.node
_SCTP, _INIT, _INIT_ACK = 132, 1, 2
PORT = {"port": 5060, "protocol": "SCTP", "nodePort": 30560}


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def packet(kind: int, source: int, destination: int, tag: int) -> bytes:
    """One chunk that begins an association: INIT, or its answer."""
    chunk = struct.pack("!BBHIIHHI", kind, 0, 20, 7, 65536, 1, 1, 1)
    head = struct.pack("!HHI", source, destination, tag)
    checksum = struct.pack("<I", crc32c(head + bytes(4) + chunk))
    return head + checksum + chunk


def raw(namespace: str) -> socket.socket:
    with inside(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, _SCTP)
    made.settimeout(0.3)
    return made


async def test_an_association_begins_through_a_published_port(it: Lab) -> None:
    address, ports = it.pod(2), itertools.count(40000)
    with raw(it.namespace(2)) as pod, raw(it.outside) as client:

        def begin() -> bytes:
            # A try before the rules are there leaves a flow behind: each comes from a port of its own.
            client.sendto(packet(_INIT, next(ports), 30560, 0), (NODE, 0))
            return pod.recv(200)

        async with it.proxy():
            await it.publish("calls", PORT, cluster_ip="10.43.0.80", type="NodePort")
            await it.back("calls", address, port=5061, protocol="SCTP")
            heard = await until(begin)
            assert socket.inet_ntoa(heard[12:16]) == CLIENT
            source, destination = struct.unpack_from("!HH", heard, 20)
            assert destination == 5061
            pod.sendto(packet(_INIT_ACK, 5061, source, 7), (CLIENT, 0))
            answer = await asyncio.to_thread(client.recv, 200)
    assert socket.inet_ntoa(answer[12:16]) == NODE
    assert struct.unpack_from("!HH", answer, 20) == (30560, source)
