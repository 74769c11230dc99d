"""What the kernel remembers of endpoints that are gone: connectionless flows, and clients' stickiness.

A TCP connection to a vanished endpoint ends by itself; a UDP flow would be sent there for as long as packets keep coming.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket

from pyroute2 import NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError

_log = logging.getLogger(__name__)

_ELEMENT = re.compile(r"(0x[0-9a-f]+|\d+) \. ([\d.]+)[^:,}]*: ([\d.]+) \. (\d+)")


async def forget(endpoints: set[tuple[str, int, str]]) -> None:
    """Drop UDP flows that lead to these (address, port, protocol)."""
    gone = {(address, port) for address, port, protocol in endpoints if protocol == "udp"}
    if gone:
        await asyncio.to_thread(_forget, gone)


def _forget(gone: set[tuple[str, int]]) -> None:
    try:
        with NFCTSocket() as conntrack:
            for entry in conntrack.dump():
                original = _tuple_of(entry, "CTA_TUPLE_ORIG")
                reply = _tuple_of(entry, "CTA_TUPLE_REPLY")
                if reply is None or original is None or reply["proto"] != socket.IPPROTO_UDP:
                    continue
                if (reply["src"], reply["sport"]) in gone:
                    _delete(conntrack, original)
    except (NetlinkError, OSError) as error:
        _log.warning("stale UDP flows cannot be dropped: %s", error)


def _delete(conntrack: NFCTSocket, flow: dict[str, object]) -> None:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    try:
        conntrack.entry(
            "del",
            tuple_orig=NFCTAttrTuple(
                saddr=flow["src"], daddr=flow["dst"], proto=flow["proto"], sport=flow["sport"], dport=flow["dport"]
            ),
        )
    except NetlinkError as error:
        _log.debug("flow %s: %s", flow, error)


def _tuple_of(entry: object, name: str) -> dict[str, object] | None:
    part = entry.get_attr(name)  # type: ignore[attr-defined]
    if part is None:
        return None
    address, protocol = part.get_attr("CTA_TUPLE_IP"), part.get_attr("CTA_TUPLE_PROTO")
    if address is None or protocol is None or address.get_attr("CTA_IP_V4_SRC") is None:
        return None
    return {
        "src": address.get_attr("CTA_IP_V4_SRC"),
        "dst": address.get_attr("CTA_IP_V4_DST"),
        "proto": protocol.get_attr("CTA_PROTO_NUM"),
        "sport": protocol.get_attr("CTA_PROTO_SRC_PORT"),
        "dport": protocol.get_attr("CTA_PROTO_DST_PORT"),
    }


def sticky_keys(listing: str, gone: set[tuple[str, int, str]]) -> list[str]:
    """Keys of the sticky map, as nft lists it, whose value is one of the endpoints that are gone."""
    addresses = {(address, str(port)) for address, port, _ in gone}
    return [f"{match[1]} . {match[2]}" for match in _ELEMENT.finditer(listing) if (match[3], match[4]) in addresses]
