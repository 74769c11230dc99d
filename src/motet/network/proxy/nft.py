"""The edge to libnftables, in process: a transaction takes a fraction of a millisecond and either happens or does not."""

from __future__ import annotations

import nftables

from motet.base.errors import MotetError


class NftError(MotetError):
    """The kernel or the parser refused a transaction; nothing of it happened."""


class Nft:
    """One libnftables context, bound to the network namespace it was made in. Not for use by two threads at once."""

    def __init__(self) -> None:
        try:
            self._context = nftables.Nftables()
        except OSError as error:
            raise NftError(f"libnftables cannot be loaded: {error}; install the package nftables") from error

    def run(self, commands: str) -> str:
        """Run one transaction of text commands; returns what it printed. Raises NftError."""
        code, output, error = self._context.cmd(commands)
        if code != 0:
            raise NftError(f"nftables: {error.strip()[:500]}")
        return str(output)

    def remove_table(self, table: str) -> None:
        """Take away a table of ours, whether it exists or not."""
        self.run(f"add table ip {table}\ndelete table ip {table}")
