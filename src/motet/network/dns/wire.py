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
TXT: Final = 16
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
BADVERS: Final = 16

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")
_IN = 1
_PLAIN_UDP = 512
_MOST_UDP = 1232
_MOST_STREAM = 65535
_LONGEST_NAME = 255


class Malformed(ValueError):
    """Not a DNS query that can be answered; `rcode` is what its sender is told."""

    def __init__(self, message: str, rcode: int = FORMERR) -> None:
        super().__init__(message)
        self.rcode = rcode


class Record(NamedTuple):
    """One resource record of class IN; `data` is its wire form without compression. `name` is lower case, no final dot."""

    name: str
    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Query:
    """A query with one question. `name` is lower case without the final dot; `room` is how many bytes UDP may answer.

    `edns` is the sender's version of EDNS, or None when it has none.
    """

    id: int
    recursion_desired: bool
    name: str
    type: int
    question: bytes
    room: int
    edns: int | None


def parse(packet: bytes) -> Query:
    """Read a query. Raises Malformed."""
    try:
        ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
        if flags & 0x8000:
            raise Malformed("not a query")
        if flags & 0x7800:
            raise Malformed("an operation other than a query", NOTIMP)
        if questions != 1:
            raise Malformed("not one question")
        labels, at = _labels(packet, _HEADER.size)
        kind, network = struct.unpack_from("!HH", packet, at)
    except (struct.error, IndexError) as error:
        raise Malformed("cut short") from error
    if network not in (_IN, ANY):
        raise Malformed("another class than IN", REFUSED)
    end = at + 4
    room, edns = _PLAIN_UDP, None
    # The OPT record of EDNS: empty name, type 41, class = size of the sender's buffer, time to live = flags.
    if (
        additional
        and not answers
        and not authorities
        and packet[end : end + 3] == b"\0\0\x29"
        and len(packet) >= end + 11
    ):
        edns = packet[end + 6]
        room = min(_MOST_UDP, max(_PLAIN_UDP, int.from_bytes(packet[end + 3 : end + 5], "big")))
    name = ".".join(labels).lower()
    return Query(ident, bool(flags & 0x0100), name, kind, packet[_HEADER.size : end], room, edns)


def _labels(packet: bytes, at: int) -> tuple[list[str], int]:
    labels = []
    start = at
    while length := packet[at]:
        if length > 63:
            raise Malformed("a compressed name in a question")
        if at + length - start > _LONGEST_NAME:
            raise Malformed("too long a name")
        # Any byte may be in a label, even a dot; none of our names has such.
        labels.append(packet[at + 1 : at + 1 + length].decode("latin-1").replace(".", "\\."))
        at += 1 + length
    return labels, at + 1


def respond(
    query: Query,
    rcode: int = NOERROR,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    *,
    ttl: int = 5,
    authoritative: bool = True,
) -> bytes:
    """The whole message. Answers for the question's own name have it compressed to a pointer."""
    flags = 0x8080 | (0x0400 if authoritative else 0) | (0x0100 if query.recursion_desired else 0) | rcode & 0xF
    opt = _opt(query, rcode)
    counts = 1, len(answers), len(authority), len(additional) + bool(opt)
    parts = [_HEADER.pack(query.id, flags, *counts), query.question]
    for record in (*answers, *authority, *additional):
        owner = b"\xc0\x0c" if record.name == query.name else encode_name(record.name)
        parts.append(owner + _FIXED.pack(record.type, _IN, ttl, len(record.data)) + record.data)
    return b"".join((*parts, opt))


def _opt(query: Query, rcode: int) -> bytes:
    return b"" if query.edns is None else b"\0" + _FIXED.pack(OPT, _MOST_UDP, (rcode >> 4) << 24, 0)


def cut(response: bytes, query: Query, *, stream: bool = False) -> bytes:
    """What fits: the message itself, or an empty one that says to ask again over TCP."""
    if len(response) <= (_MOST_STREAM if stream else query.room):
        return response
    flags = int.from_bytes(response[2:4], "big") | 0x0200
    opt = _opt(query, NOERROR)
    return _HEADER.pack(query.id, flags, 1, 0, 0, bool(opt)) + query.question + opt


def complaint(packet: bytes, rcode: int) -> bytes:
    """The answer to a packet that cannot be read: its number and no more. Empty for one that is itself an answer."""
    if len(packet) < _HEADER.size or packet[2] & 0x80:
        return b""
    return packet[:2] + bytes((0x80 | packet[2] & 0x79, rcode)) + bytes(8)


@dataclass(frozen=True, slots=True)
class Response:
    """What a forwarder has to know of somebody else's answer. `lifetime` is in seconds, 0 for "do not keep"."""

    rcode: int
    answers: tuple[tuple[int, bytes], ...]
    lifetime: int


def read_response(packet: bytes, longest: int) -> Response:
    """Rcode, (type, data) of the answers and how long they may be kept, at most `longest`. Raises Malformed."""
    try:
        _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(packet)
        at = _HEADER.size
        for _ in range(questions):
            at = _skip_name(packet, at) + 4
        found: list[tuple[int, bytes]] = []
        lifetime = longest
        for number in range(answers + authorities):
            at = _skip_name(packet, at)
            kind, _, ttl, size = _FIXED.unpack_from(packet, at)
            data = packet[at + _FIXED.size : at + _FIXED.size + size]
            at += _FIXED.size + size
            lifetime = min(lifetime, ttl)
            if number < answers:
                found.append((kind, data))
            elif kind == SOA:
                lifetime = min(lifetime, int.from_bytes(data[-4:], "big"))
    except (struct.error, IndexError) as error:
        raise Malformed("cut short") from error
    rcode = flags & 0xF
    # A denial without its SOA record (RFC 2308), a failure or half an answer is not kept.
    final = rcode in (NOERROR, NXDOMAIN) and not flags & 0x0200 and bool(answers or authorities)
    return Response(rcode, tuple(found), lifetime if final else 0)


def _skip_name(packet: bytes, at: int) -> int:
    while length := packet[at]:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1


def encode_name(name: str) -> bytes:
    """Wire form of a name given as text, with or without the final dot. Raises ValueError for what cannot be one."""
    if not name.strip("."):
        return b"\0"
    labels = [label.encode("ascii") for label in name.strip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels) or sum(len(label) + 1 for label in labels) >= _LONGEST_NAME:
        raise ValueError(f"{name!r} is no name")
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


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


def text(value: str) -> bytes:
    """Data of a TXT record of one string, at most 255 characters."""
    return bytes((len(value),)) + value.encode("ascii")
