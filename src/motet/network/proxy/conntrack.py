"""Flows that the kernel would go on sending where their service no longer leads.

A UDP flow lives for as long as packets keep coming. So when a UDP frontend changes, its flows that do not lead to one of its
endpoints now are dropped, and the next packet starts afresh. A TCP connection to a vanished endpoint ends by itself; but one
that was never answered, as on the way to a node that lost its power, keeps sending its SYN there, and whoever happens to use
the same port next goes the same way. Those are dropped too: the next SYN, a second or two later, reaches a pod that lives.

A process of the node that had a UDP port before somebody published it may just be answering when its flow is dropped. To the
kernel that answer begins a flow of its own, and what the client sends next belongs to it: to the process again. So flows that
begin at a published port are dropped like those that lead there, and whoever lost one is looked at again a little later.

A busy node tracks hundreds of thousands of flows, and reading one takes longer than all else that a change costs. So the
kernel is asked for those of one frontend only, by its mark or by where they were sent; and rules never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from pyroute2 import IPRoute, NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import IPS_SEEN_REPLY, NFCTAttrTuple

from motet.network.proxy.desired import Address, Backends, Frontend

_log = logging.getLogger(__name__)

# How long an answer to what was dropped may take, in seconds; slower ones are caught the next time.
_AGAIN_SECONDS = 0.5


class Flow(NamedTuple):
    """As the sender sees it (source to destination), and who answers (`via`)."""

    source: Address
    destination: Address
    via: Address
    protocol: int = socket.IPPROTO_UDP


class Change(NamedTuple):
    """A frontend that leads to other endpoints now. Its connections bear `mark`."""

    frontend: Frontend
    mark: int
    endpoints: frozenset[Address]


def changes(
    after: Mapping[Frontend, Backends], before: Mapping[Frontend, Backends | None], marks: Mapping[Frontend, int]
) -> list[Change]:
    """What may have led flows astray; `marks` are of the frontends that there were before."""
    found = []
    for frontend, old in before.items():
        new = after.get(frontend)
        was, now = (set(each.endpoints) if each else set() for each in (old, new))
        # Nothing goes astray if endpoints were only added to some.
        udp = frontend.protocol in ("udp", "") and (was - now or not was) and (was or now)
        if udp or (frontend.protocol in ("tcp", "") and was - now):
            found.append(Change(frontend, marks.get(frontend, 0), frozenset(now)))
    return found


def stale(flow: Flow, change: Change, local: set[str]) -> bool:
    """Whether the flow belongs to that frontend and leads elsewhere, or is the answer of somebody it does not lead to."""

    def meets(address: str, port: int) -> bool:
        frontend = change.frontend
        here = address == frontend.address or (not frontend.address and address in local)
        return here and (frontend.every_port or port == frontend.port)

    def serves(end: Address) -> bool:
        return (end[0], 0 if change.frontend.every_port else end[1]) in change.endpoints

    if meets(*flow.destination):
        return not serves(flow.via)
    return flow.protocol == socket.IPPROTO_UDP and meets(*flow.source) and not serves(flow.source)


class Forgetter:
    """Drops stale flows of one version of IP, a little after the rules that made them stale.

    `now` gives what a frontend leads to, if it exists.
    """

    def __init__(self, now: Callable[[Frontend], Backends | None], version: int = 4) -> None:
        self._now = now
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        # Frontends to look at, and the marks of their connections.
        self._due: dict[Frontend, int] = {}
        self._wake = asyncio.Event()

    def forget(self, found: Iterable[Change]) -> None:
        for change in found:
            self._due[change.frontend] = change.mark
            self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                due, self._due = self._due, {}
                found = await asyncio.to_thread(_forget, [self._change(*each) for each in due.items()], self._family)
                if late := [change for change in found if change.frontend.protocol in ("udp", "")]:
                    group.create_task(self._again(late))

    async def _again(self, found: list[Change]) -> None:
        await asyncio.sleep(_AGAIN_SECONDS)
        # Where nothing is published any more, flows are the node's own.
        self.forget(change for change in found if self._now(change.frontend) is not None)

    def _change(self, frontend: Frontend, mark: int) -> Change:
        """As it is by now: endpoints that came meanwhile keep their flows."""
        backends = self._now(frontend)
        return Change(frontend, mark, frozenset(backends.endpoints if backends else ()))


def _forget(due: Iterable[Change], family: int) -> list[Change]:
    """Drop what is stale; returns the changes that had made anything so."""
    found = []
    try:
        local = _local_addresses(family)
        with NFCTSocket(nfgen_family=family) as conntrack:
            for change in due:
                gone = [flow for flow in _flows(conntrack, change, family) if stale(flow, change, local)]
                for flow in gone:
                    _delete(conntrack, flow, family)
                if gone:
                    found.append(change)
    except (NetlinkError, OSError) as error:
        _log.warning("stale flows cannot be dropped: %s", error)
    return found


def _flows(conntrack: NFCTSocket, change: Change, family: int) -> Iterator[Flow]:
    """Of one frontend, and of TCP only those that were never answered (which kernels before 5.15 do not sort out)."""
    frontend, entries = change.frontend, []
    if frontend.protocol != "udp":
        entries += conntrack.dump(mark=change.mark, status=0, status_mask=IPS_SEEN_REPLY)
    if frontend.protocol != "tcp":
        # A flow may be older than its frontend, and then has another mark or none.
        # Kernels have the comparison of IPv6 addresses the wrong way round; `stale` compares them anyway.
        address = frontend.address or None if family == socket.AF_INET else None
        port = frontend.port or None
        sent = NFCTAttrTuple(family, proto=socket.IPPROTO_UDP, daddr=address, dport=port)
        answered = NFCTAttrTuple(family, proto=socket.IPPROTO_UDP, saddr=address, sport=port)
        entries += [entry for way in (sent, answered) for entry in conntrack.dump(tuple_orig=way)]
    return (flow for entry in entries if (flow := _flow(entry, family)) is not None)


def _local_addresses(family: int) -> set[str]:
    with IPRoute() as route:
        held = (dict(item["attrs"]) for item in route.get_addr(family=family))
        return {str(each.get("IFA_LOCAL") or each.get("IFA_ADDRESS")) for each in held}


def _delete(conntrack: NFCTSocket, flow: Flow, family: int) -> None:
    original = NFCTAttrTuple(
        family,
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


def _flow(entry: object, family: int) -> Flow | None:
    original, reply = (_ends(entry, name, family) for name in ("CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY"))
    if original is None or reply is None:
        return None
    if original[2] == socket.IPPROTO_TCP and entry.get_attr("CTA_STATUS") & IPS_SEEN_REPLY:  # type: ignore[attr-defined]
        return None
    return Flow(original[0], original[1], reply[0], original[2])


def _ends(entry: object, name: str, family: int) -> tuple[Address, Address, int] | None:
    """Source, destination and protocol of one direction of a UDP or TCP flow of this family."""
    kind = "CTA_IP_V4" if family == socket.AF_INET else "CTA_IP_V6"
    part = entry.get_attr(name)  # type: ignore[attr-defined]
    if part is None:
        return None
    address, protocol = part.get_attr("CTA_TUPLE_IP"), part.get_attr("CTA_TUPLE_PROTO")
    if address is None or protocol is None:
        return None
    number = protocol.get_attr("CTA_PROTO_NUM")
    if number not in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
        return None
    if (source := address.get_attr(f"{kind}_SRC")) is None:
        return None
    return (
        (source, protocol.get_attr("CTA_PROTO_SRC_PORT")),
        (address.get_attr(f"{kind}_DST"), protocol.get_attr("CTA_PROTO_DST_PORT")),
        int(number),
    )
