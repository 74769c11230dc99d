"""The kernel's own word that links, routes, rules or neighbours went: what makes repairing a matter of milliseconds.

It only says that somebody should look; what is missing is found by looking at everything. Pods' own cables, which come and go
all the time and are nobody's to repair, are passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Iterator

# rtnetlink(7): what tells that something of ours may be gone, and the groups it is told in.
_TELLING = frozenset(
    {16, 17, 25, 29, 33}
)  # RTM_NEWLINK (also when one goes down), DELLINK, DELROUTE, DELNEIGH, DELRULE
_GROUPS = 0x1 | 0x4 | 0x40 | 0x80  # RTMGRP_LINK, RTMGRP_NEIGH, RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE
_HEADER = struct.Struct("=IHHII")
_NEW_LINK, _DELETED_LINK, _DELETED_NEIGHBOUR = 16, 17, 29
# ifinfomsg and ndmsg have the interface's number in the same place; attributes follow an ifinfomsg at 16.
_INTERFACE = struct.Struct("=4xi")
_LINK_ATTRIBUTES = 16
_ATTRIBUTE = struct.Struct("=HH")
_IFLA_IFNAME = 3
# What the bridge plugin calls the node's ends of pods' cables.
_CABLE = re.compile(rb"veth[0-9a-f]{8}\0?")


@contextlib.contextmanager
def changes(notify: Callable[[], None]) -> Iterator[None]:
    """Call `notify` when the kernel says that links, routes or neighbours went, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    watch = Watch()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as listener:
        listener.bind((0, _GROUPS))

        def readable() -> None:
            try:
                if watch.tells(listener.recv(65536)):
                    notify()
            except BlockingIOError:
                return
            except OSError:
                # More happened than the buffer holds (ENOBUFS): look at everything.
                notify()

        loop.add_reader(listener, readable)
        try:
            yield
        finally:
            loop.remove_reader(listener)


class Watch:
    """What the kernel's messages mean to those who repair; remembers which interfaces are pods' cables."""

    def __init__(self) -> None:
        self._cables: set[int] = set()

    def tells(self, messages: bytes) -> bool:
        """Whether rtnetlink messages speak of something that may have been ours: a route, neighbour or link gone or down."""
        at, found = 0, False
        while at + _HEADER.size <= len(messages):
            length, kind, *_ = _HEADER.unpack_from(messages, at)
            body = messages[at + _HEADER.size : at + length]
            found |= kind in _TELLING and not self._is_of_a_cable(kind, body)
            at += max(_HEADER.size, (length + 3) & ~3)
        return found

    def _is_of_a_cable(self, kind: int, body: bytes) -> bool:
        if kind not in (_NEW_LINK, _DELETED_LINK, _DELETED_NEIGHBOUR) or len(body) < _INTERFACE.size:
            return False
        (interface,) = _INTERFACE.unpack_from(body)
        if kind == _DELETED_NEIGHBOUR:
            return interface in self._cables
        if _CABLE.fullmatch(_name(body)) is None:
            return False
        if kind == _NEW_LINK:
            self._cables.add(interface)
        else:
            self._cables.discard(interface)
        return True


def _name(link: bytes) -> bytes:
    """The name in an ifinfomsg with its attributes; empty when there is none."""
    at = _LINK_ATTRIBUTES
    while at + _ATTRIBUTE.size <= len(link):
        length, kind = _ATTRIBUTE.unpack_from(link, at)
        if kind == _IFLA_IFNAME:
            return link[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return b""
