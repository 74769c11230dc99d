"""Where a node keeps who it is. Certificate and key are one file, so that no crash can leave one without the other."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from motet.base.files import write_atomically
from motet.identity import tls
from motet.identity.messages import Issued


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
    def complete(self) -> bool:
        return self.pair.exists() and self.ca.exists()

    def keep(self, key: bytes, issued: Issued) -> None:
        """Take a new identity into use; `key` is the PEM key that was certified."""
        write_atomically(self.ca, issued.roots.bundle.encode(), mode=0o644)
        write_atomically(self.pair, issued.certificate.encode() + key)

    def context(self) -> ssl.SSLContext | None:
        """A client context that shows the certificate; None when there is none that can be used."""
        with contextlib.suppress(OSError, ssl.SSLError):
            return tls.client_context(self.ca, self.pair, self.pair)
        return None
