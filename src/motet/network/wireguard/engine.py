"""What encrypts: one interface, two engines. Everything blocks and raises NetworkError; call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from motet.network.bridge import NetworkError
from motet.network.wireguard import inkernel, userspace
from motet.network.wireguard.config import WireguardConfig
from motet.network.wireguard.decide import Configuration, Remote
from motet.network.wireguard.keys import Pair


class Engine(Protocol):
    """One device's sessions."""

    # For people.
    title: str

    def look(self) -> Configuration | None:
        """What the device holds; None when there is none that is this engine's."""
        ...

    def make(self) -> None:
        """Make the device; there is none of that name."""
        ...

    def remove(self) -> None:
        """Take away the device of that name, whosever it is; none is fine."""
        ...

    def configure(self, pair: Pair, port: int) -> None: ...

    def change(self, forget: Sequence[str], learn: Sequence[Remote]) -> None: ...

    def greet(self, remotes: Sequence[Remote]) -> None:
        """Have a first word sent to each, now."""
        ...


MISSING = (
    "this cluster is encrypted, and this machine has no WireGuard: its kernel lacks it and wireguard-go is not "
    "installed; install it with: motet doctor --fix (Debian's package wireguard-go)"
)


def choose(config: WireguardConfig) -> Engine:
    """The kernel's where it has one, else wireguard-go. Raises NetworkError when there is neither."""
    if inkernel.available():
        return inkernel.InKernel(config.device)
    if userspace.executable():
        return userspace.Userspace(config)
    raise NetworkError(MISSING)
