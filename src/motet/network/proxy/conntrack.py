"""Flows that the kernel would go on sending where their service no longer leads.

A UDP flow lives for as long as packets keep coming. So when a UDP frontend changes, its flows that do not lead to one of its
endpoints now are dropped, and the next packet starts afresh. A TCP connection to a vanished endpoint ends by itself; but one
that was never answered, as on the way to a node that lost its power, keeps sending its SYN there, and whoever happens to use
the same port next goes the same way. Those are dropped too: the next SYN, a second or two later, reaches a pod that lives.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import NamedTuple

from pyroute2 import IPRoute, NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import IPS_SEEN_REPLY, NFCTAttrTuple

from motet.network.proxy.desired import Address, Backends, Frontend

_log = logging.getLogger(__name__)


class Flow(NamedTuple):
    """As the sender sees it (source to destination), and who answers (`via`)."""

    source: Address
    destination: Address
    via: Address
    protocol: int = socket.IPPROTO_UDP


Allowed = dict[Address, set[Address]]


async def forget(after: Mapping[Frontend, Backends], before: Mapping[Frontend, Backends | None]) -> None:
    """Drop stale flows of the frontends in `before`, which lead to `after` now."""
    allowed: dict[int, Allowed] = {}
    for frontend, old in before.items():
        new = after.get(frontend)
        was, now = (set(each.endpoints) if each else set() for each in (old, new))
        # Nothing goes astray if endpoints were only added to some.
        udp = frontend.protocol == "udp" and bool(was - now or not was) and bool(was or now)
        if udp or (frontend.protocol == "tcp" and was - now):
            protocol = socket.IPPROTO_UDP if udp else socket.IPPROTO_TCP
            allowed.setdefault(protocol, {}).setdefault((frontend.address, frontend.port), set()).update(now)
    if allowed:
        await asyncio.to_thread(_forget, allowed)


def stale(flow: Flow, allowed: Mapping[Address, set[Address]], local: set[str]) -> bool:
    """Whether the flow belongs to one of these frontends and leads elsewhere."""
    address, port = flow.destination
    endpoints = allowed.get((address, port))
    if endpoints is None and address in local:
        endpoints = allowed.get(("", port))
    return endpoints is not None and flow.via not in endpoints


def _forget(allowed: Mapping[int, Allowed]) -> None:
    anywhere = any(not address for each in allowed.values() for address, _ in each)
    try:
        local = _local_addresses() if anywhere else set()
        with NFCTSocket() as conntrack:
            # The kernel shows only what was never answered where that is all we need: there may be many that were.
            all_of_them = socket.IPPROTO_UDP in allowed
            entries = conntrack.dump() if all_of_them else conntrack.dump(status=0, status_mask=IPS_SEEN_REPLY)
            flows = [flow for entry in entries if (flow := _flow(entry)) is not None]
            for flow in flows:
                if stale(flow, allowed.get(flow.protocol, {}), local):
                    _delete(conntrack, flow)
    except (NetlinkError, OSError) as error:
        _log.warning("stale flows cannot be dropped: %s", error)


def _local_addresses() -> set[str]:
    with IPRoute() as route:
        return {str(dict(item["attrs"]).get("IFA_LOCAL")) for item in route.get_addr(family=socket.AF_INET)}


def _delete(conntrack: NFCTSocket, flow: Flow) -> None:
    original = NFCTAttrTuple(
        saddr=flow.source[0],
        daddr=flow.destination[0],
        proto=flow.protocol,
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
    if original[2] == socket.IPPROTO_TCP and entry.get_attr("CTA_STATUS") & IPS_SEEN_REPLY:  # type: ignore[attr-defined]
        return None
    return Flow(original[0], original[1], reply[0], original[2])


def _ends(entry: object, name: str) -> tuple[Address, Address, int] | None:
    """Source, destination and protocol of one direction of a UDP or TCP flow over IPv4."""
    part = entry.get_attr(name)  # type: ignore[attr-defined]
    if part is None:
        return None
    address, protocol = part.get_attr("CTA_TUPLE_IP"), part.get_attr("CTA_TUPLE_PROTO")
    if address is None or protocol is None:
        return None
    number = protocol.get_attr("CTA_PROTO_NUM")
    if number not in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
        return None
    if (source := address.get_attr("CTA_IP_V4_SRC")) is None:
        return None
    return (
        (source, protocol.get_attr("CTA_PROTO_SRC_PORT")),
        (address.get_attr("CTA_IP_V4_DST"), protocol.get_attr("CTA_PROTO_DST_PORT")),
        int(number),
    )
