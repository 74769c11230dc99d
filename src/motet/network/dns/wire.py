"""DNS messages, as far as a name server needs them (RFC 1035, RFC 2782 for SRV, RFC 6891 for EDNS).

Written by hand because a general library costs over ten times the processor per query here.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

A: Final = 1
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
ANY: Final = 255

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_IN = 1
_PLAIN_UDP = 512
_MOST_UDP = 1232


class Malformed(ValueError):
    """Not a DNS query that can be answered."""


class Record(NamedTuple):
    """One resource record of class IN; `data` is its wire form without compression. `name` is lower case, no final dot."""

    name: str
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """A query with one question. `name` is lower case without the final dot; `room` is how many bytes UDP may answer."""

    id: int
    recursion_desired: bool
    name: str
    type: int
    question: bytes
    room: int
    edns: bool


def parse(packet: bytes) -> Query:
    """Read a query. Raises Malformed."""
    try:
        ident, flags, questions, _, _, additional = _HEADER.unpack_from(packet)
        if flags & 0x8000 or questions != 1:
            raise Malformed("not a query with one question")
        labels, at = _labels(packet, _HEADER.size)
        kind, _ = struct.unpack_from("!HH", packet, at)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error
    end = at + 4
    room, edns = _PLAIN_UDP, False
    # The OPT record of EDNS: empty name, type 41, class = size of the sender's buffer.
    if additional and packet[end : end + 3] == b"\0\0\x29" and len(packet) >= end + 5:
        edns = True
        room = min(_MOST_UDP, max(_PLAIN_UDP, int.from_bytes(packet[end + 3 : end + 5], "big")))
    name = ".".join(labels).lower()
    return Query(ident, bool(flags & 0x0100), name, kind, packet[_HEADER.size : end], room, edns)


def _labels(packet: bytes, at: int) -> tuple[list[str], int]:
    labels = []
    while length := packet[at]:
        if length > 63:
            raise Malformed("a compressed name in a question")
        labels.append(packet[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return labels, at + 1


def respond(
    query: Query,
    rcode: int = NOERROR,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    *,
    ttl: int = 5,
    authoritative: bool = True,
) -> bytes:
    """The whole message. The first answer for the question's own name is compressed to a pointer."""
    flags = 0x8080 | (0x0400 if authoritative else 0) | (0x0100 if query.recursion_desired else 0) | rcode
    parts = [
        _HEADER.pack(query.id, flags, 1, len(answers), len(authority), 1 if query.edns else 0),
        query.question,
    ]
    for record in (*answers, *authority):
        owner = b"\xc0\x0c" if record.name == query.name else encode_name(record.name)
        parts.append(owner + _FIXED.pack(record.type, _IN, ttl, len(record.data)) + record.data)
    if query.edns:
        parts.append(b"\0" + struct.pack("!HHIH", OPT, _MOST_UDP, 0, 0))
    return b"".join(parts)


def cut(response: bytes, query: Query) -> bytes:
    """What fits into UDP: the message itself, or an empty one that says to ask again over TCP."""
    if len(response) <= query.room:
        return response
    flags = int.from_bytes(response[2:4], "big") | 0x0200
    return _HEADER.pack(query.id, flags, 1, 0, 0, 0) + query.question


def encode_name(name: str) -> bytes:
    """Wire form of a name given as text, with or without the final dot."""
    if not name.strip("."):
        return b"\0"
    return b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.strip(".").split(".")) + b"\0"


def address(text: str) -> tuple[int, bytes]:
    """Type and data of the record for an IP address."""
    parsed = ipaddress.ip_address(text)
    return (A if parsed.version == 4 else AAAA), parsed.packed


def srv(port: int, target: str) -> bytes:
    """Data of an SRV record; all of them have priority 0 and equal weight."""
    return struct.pack("!HHH", 0, 100, port) + encode_name(target)


def soa(primary: str, mailbox: str, serial: int, minimum: int) -> bytes:
    """Data of an SOA record; `minimum` bounds how long a denial is cached."""
    return encode_name(primary) + encode_name(mailbox) + struct.pack("!5I", serial, 7200, 1800, 86400, minimum)
