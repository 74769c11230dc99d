"""UDP flows that the kernel would go on sending where their service no longer leads.

A TCP connection to a vanished endpoint ends by itself; a UDP flow lives for as long as packets keep coming. So when a UDP
frontend changes, its flows that do not lead to one of its endpoints now are dropped, and the next packet starts afresh.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import NamedTuple

from pyroute2 import IPRoute, NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from motet.network.proxy.desired import Address, Backends, Frontend

_log = logging.getLogger(__name__)


class Flow(NamedTuple):
    """As the sender sees it (source to destination), and who answers (`via`)."""

    source: Address
    destination: Address
    via: Address


async def forget(after: Mapping[Frontend, Backends], before: Mapping[Frontend, Backends | None]) -> None:
    """Drop stale UDP flows of the frontends in `before`, which lead to `after` now."""
    allowed: dict[Address, set[Address]] = {}
    for frontend, old in before.items():
        new = after.get(frontend)
        was, now = (set(each.endpoints) if each else set() for each in (old, new))
        # Nothing goes astray if endpoints were only added to some.
        if frontend.protocol == "udp" and (was - now or not was) and (was or now):
            allowed.setdefault((frontend.address, frontend.port), set()).update(now)
    if allowed:
        await asyncio.to_thread(_forget, allowed)


def stale(flow: Flow, allowed: Mapping[Address, set[Address]], local: set[str]) -> bool:
    """Whether the flow belongs to one of these frontends and leads elsewhere."""
    address, port = flow.destination
    endpoints = allowed.get((address, port))
    if endpoints is None and address in local:
        endpoints = allowed.get(("", port))
    return endpoints is not None and flow.via not in endpoints


def _forget(allowed: Mapping[Address, set[Address]]) -> None:
    try:
        local = _local_addresses() if any(not address for address, _ in allowed) else set()
        with NFCTSocket() as conntrack:
            flows = [flow for entry in conntrack.dump() if (flow := _flow(entry)) is not None]
            for flow in flows:
                if stale(flow, allowed, local):
                    _delete(conntrack, flow)
    except (NetlinkError, OSError) as error:
        _log.warning("stale UDP flows cannot be dropped: %s", error)


def _local_addresses() -> set[str]:
    with IPRoute() as route:
        return {str(dict(item["attrs"]).get("IFA_LOCAL")) for item in route.get_addr(family=socket.AF_INET)}


def _delete(conntrack: NFCTSocket, flow: Flow) -> None:
    original = NFCTAttrTuple(
        saddr=flow.source[0],
        daddr=flow.destination[0],
        proto=socket.IPPROTO_UDP,
        sport=flow.source[1],
        dport=flow.destination[1],
    )
    try:
        conntrack.entry("del", tuple_orig=original)
    except NetlinkError as error:  # it ended by itself meanwhile
        _log.debug("flow %s: %s", flow, error)


def _flow(entry: object) -> Flow | None:
    original, reply = (_ends(entry, name) for name in ("CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY"))
    if original is None or reply is None:
        return None
    return Flow(original[0], original[1], reply[0])


def _ends(entry: object, name: str) -> tuple[Address, Address] | None:
    """Source and destination of one direction of a UDP flow over IPv4."""
    part = entry.get_attr(name)  # type: ignore[attr-defined]
    if part is None:
        return None
    address, protocol = part.get_attr("CTA_TUPLE_IP"), part.get_attr("CTA_TUPLE_PROTO")
    if address is None or protocol is None or protocol.get_attr("CTA_PROTO_NUM") != socket.IPPROTO_UDP:
        return None
    if (source := address.get_attr("CTA_IP_V4_SRC")) is None:
        return None
    return (
        (source, protocol.get_attr("CTA_PROTO_SRC_PORT")),
        (address.get_attr("CTA_IP_V4_DST"), protocol.get_attr("CTA_PROTO_DST_PORT")),
    )
