"""The edge to libnftables, in process: a transaction takes a fraction of a millisecond and either happens or does not."""

from __future__ import annotations

import re
import socket
import struct

import nftables

from motet.base.errors import MotetError

# linux/netfilter/nfnetlink.h, nf_tables.h: ask for the number of the last transaction of the namespace.
_NETLINK_NETFILTER = 12
_GETGEN = 10 << 8 | 16
_REQUEST = 1
_GEN_ID = 1
_ELEMENTS = re.compile(r"^\s*elements = \{(.*?)\}\n", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^\t(?:map|set) (\S+) \{\n(.*?)^\t\}\n", re.MULTILINE | re.DOTALL)


class NftError(MotetError):
    """The kernel or the parser refused a transaction; nothing of it happened."""


class Nft:
    """One libnftables context, bound to the network namespace it was made in. Not for use by two threads at once."""

    def __init__(self) -> None:
        try:
            self._context = nftables.Nftables()
        except OSError as error:
            raise NftError(f"libnftables cannot be loaded: {error}; install the package nftables") from error

    def run(self, commands: str, *, handles: bool = False) -> str:
        """Run one transaction of text commands; returns what it printed, with handles if wanted. Raises NftError."""
        self._context.set_handle_output(handles)
        code, output, error = self._context.cmd(commands)
        if code != 0:
            raise NftError(f"nftables: {error.strip()[:500]}")
        return str(output)

    def generation(self) -> int:
        """A number that every transaction in this namespace raises by one, whoever makes it. Raises NftError."""
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as netlink:
                netlink.settimeout(1.0)
                netlink.send(struct.pack("=IHHIIBBH", 20, _GETGEN, _REQUEST, 0, 0, 0, 0, 0))
                answer = netlink.recv(4096)
        except OSError as error:
            raise NftError(f"nftables: {error}") from error
        at = 20
        while at + 8 <= len(answer):
            size, kind = struct.unpack_from("=HH", answer, at)
            if kind == _GEN_ID:
                return int.from_bytes(answer[at + 4 : at + 8], "big")
            at += max(4, (size + 3) & ~3)
        raise NftError("nftables: the kernel does not tell its generation")

    def text(self, table: str, family: str = "ip") -> str:
        """A table of ours without the elements of its maps and sets. Raises NftError when it is not there."""
        before = self._context.set_terse_output(True)
        try:
            return self.run(f"list table {family} {table}")
        finally:
            self._context.set_terse_output(before)

    def counts(self, table: str, family: str = "ip") -> dict[str, int]:
        """How many elements each map and set of a table of ours has. Raises NftError when it is not there."""
        return {name: _count(body) for name, body in _BLOCK.findall(self.run(f"list table {family} {table}"))}

    def remove_table(self, table: str) -> None:
        """Take away a table of ours, whether it exists or not, in either family."""
        self.run("\n".join(f"add table {each} {table}\ndelete table {each} {table}" for each in ("ip", "ip6")))


def _count(body: str) -> int:
    found = _ELEMENTS.search(body)
    return found[1].count(",") + 1 if found else 0
