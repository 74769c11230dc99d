"""Where a node keeps who it is. Certificate and key are one file, so that no crash can leave one without the other."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from motet.base.files import write_atomically
from motet.identity import requests, tls
from motet.identity.authority import IdentityError
from motet.identity.messages import Issued
from motet.identity.requests import KeyRequest


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """A node's certificate with its key, and the roots it trusts."""

    directory: Path

    @property
    def pair(self) -> Path:
        """Certificate and private key, PEM, for its owner only."""
        return self.directory / "node.pem"

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def pending(self) -> Path:
        """A key made for joining, from before it is told to anybody until it is certified."""
        return self.directory / "joining.key"

    @property
    def complete(self) -> bool:
        return self.pair.exists() and self.ca.exists()

    def keep(self, key: bytes, issued: Issued) -> None:
        """Take a new identity into use; `key` is the PEM key that was certified."""
        write_atomically(self.ca, issued.roots.bundle.encode(), mode=0o644)
        write_atomically(self.pair, issued.certificate.encode() + key)
        self.pending.unlink(missing_ok=True)

    def key_request(self) -> KeyRequest:
        """To be certified: the key this machine has, so that it proves to be who it was, else one made and kept now.

        A join whose answer got lost is asked for again with the same key, and so meets a Node that is its own.
        """
        for known in (self.pair, self.pending):
            with contextlib.suppress(OSError, IdentityError):
                return requests.make(known.read_bytes())
        made = requests.make()
        write_atomically(self.pending, made.key)
        return made

    def forget_pending(self) -> None:
        """The join was refused: nothing stands for that key."""
        self.pending.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty, or not there
            self.directory.rmdir()

    def context(self) -> ssl.SSLContext | None:
        """A client context that shows the certificate; None when there is none that can be used."""
        with contextlib.suppress(OSError, ssl.SSLError):
            return tls.client_context(self.ca, self.pair, self.pair)
        return None
