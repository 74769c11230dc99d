"""The kernel's own word that links, routes, rules or neighbours went: what makes repairing a matter of milliseconds.

It only says that somebody should look; what is missing is found by looking at everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator

# rtnetlink(7): what tells that something of ours may be gone, and the groups it is told in.
_TELLING = frozenset(
    {16, 17, 25, 29, 33}
)  # RTM_NEWLINK (also when one goes down), DELLINK, DELROUTE, DELNEIGH, DELRULE
_GROUPS = 0x1 | 0x4 | 0x40 | 0x80  # RTMGRP_LINK, RTMGRP_NEIGH, RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE
_HEADER = struct.Struct("=IHHII")


@contextlib.contextmanager
def changes(notify: Callable[[], None]) -> Iterator[None]:
    """Call `notify` when the kernel says that links, routes or neighbours went, for as long as the block lasts."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as listener:
        listener.bind((0, _GROUPS))

        def readable() -> None:
            try:
                if tells(listener.recv(65536)):
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


def tells(messages: bytes) -> bool:
    """Whether rtnetlink messages speak of something that may have been ours: a route, neighbour or link gone or down."""
    at = 0
    while at + _HEADER.size <= len(messages):
        length, kind, *_ = _HEADER.unpack_from(messages, at)
        if kind in _TELLING:
            return True
        at += max(_HEADER.size, (length + 3) & ~3)
    return False
