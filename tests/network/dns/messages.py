"""A second reading of RFC 1035, to check the first one against: complete, slow, and sharing no code with it."""

from __future__ import annotations

import random
import socket
import struct
from dataclasses import dataclass
from typing import Any

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}


@dataclass
class Message:
    id: int
    flags: int
    question: list[tuple[str, str]]
    answer: list[tuple[str, str, Any]]
    authority: list[tuple[str, str, Any]]
    additional: list[tuple[str, str, Any]]

    @property
    def rcode(self) -> int:
        return self.flags & 15

    @property
    def truncated(self) -> bool:
        return bool(self.flags & 0x200)

    def data(self, kind: str = "A") -> set[Any]:
        return {data for _, type, data in self.answer if type == kind}


def question(name: str, kind: str = "A", *, ident: int | None = None, room: int = 0, version: int = 0) -> bytes:
    ident = random.randrange(65536) if ident is None else ident
    out = struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 1 if room else 0)
    for label in name.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode("latin-1")
    out += struct.pack("!BHH", 0, TYPES[kind], 1)
    return out + (struct.pack("!BHHBBHH", 0, 41, room, 0, version, 0, 0) if room else b"")


def read(packet: bytes) -> Message:
    ident, flags, *counts = struct.unpack_from("!6H", packet)
    at = 12
    questions = []
    for _ in range(counts[0]):
        name, at = _name(packet, at)
        kind, network = struct.unpack_from("!HH", packet, at)
        assert network == 1
        questions.append((name, NAMES.get(kind, str(kind))))
        at += 4
    sections: list[list[tuple[str, str, Any]]] = []
    for count in counts[1:]:
        section = []
        for _ in range(count):
            name, at = _name(packet, at)
            kind, _, _, size = struct.unpack_from("!HHIH", packet, at)
            at += 10
            section.append((name, NAMES.get(kind, str(kind)), _data(packet, at, kind, size)))
            at += size
        sections.append(section)
    assert at == len(packet), "bytes left over"
    return Message(ident, flags, questions, *sections)


def _name(packet: bytes, at: int) -> tuple[str, int]:
    labels, end = [], 0
    for _ in range(130):
        length = packet[at]
        if length == 0:
            return ".".join(labels), end or at + 1
        if length & 0xC0 == 0xC0:
            end = end or at + 2
            at = int.from_bytes(packet[at : at + 2], "big") & 0x3FFF
            continue
        assert length < 64
        labels.append(packet[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    raise AssertionError("a name without end")


def _data(packet: bytes, at: int, kind: int, size: int) -> Any:
    raw = packet[at : at + size]
    match NAMES.get(kind):
        case "A":
            return socket.inet_ntop(socket.AF_INET, raw)
        case "AAAA":
            return socket.inet_ntop(socket.AF_INET6, raw)
        case "CNAME" | "PTR":
            return _name(packet, at)[0]
        case "SRV":
            return (struct.unpack_from("!H", raw, 4)[0], _name(packet, at + 6)[0])
        case "SOA":
            return _name(packet, at)[0]
    return raw


def answer(query: bytes, *records: tuple[str, bytes, int], rcode: int = 0, flags: int = 0) -> bytes:
    """A response to `query` with (type, data, ttl) records for its name."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    out = query[:2] + struct.pack("!HHHHH", 0x8180 | flags | rcode, 1, len(records), 0, 0) + query[12 : end + 5]
    for kind, data, ttl in records:
        out += b"\xc0\x0c" + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data
    return out
