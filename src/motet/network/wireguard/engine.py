"""What encrypts: one interface, two engines. Everything blocks and raises NetworkError; call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from motet.network.bridge import NetworkError
from motet.network.wireguard import inkernel, links, userspace
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


NETWORKS_ONLY = (
    "a Network is encrypted, and this machine has no WireGuard: what its pods here and pods on other nodes say to each "
    "other is dropped until there is one; install Debian's package wireguard-go"
)


class Absent:
    """Stands for an engine where there is none: nothing gets through, and trying says why."""

    title = "nothing"

    def __init__(self, device: str) -> None:
        self._device = device

    def look(self) -> Configuration | None:
        return None

    def make(self) -> None:
        raise NetworkError(NETWORKS_ONLY)

    def remove(self) -> None:
        links.remove(self._device)

    def configure(self, pair: Pair, port: int) -> None:
        raise NetworkError(NETWORKS_ONLY)

    def change(self, forget: Sequence[str], learn: Sequence[Remote]) -> None:
        raise NetworkError(NETWORKS_ONLY)

    def greet(self, remotes: Sequence[Remote]) -> None:
        raise NetworkError(NETWORKS_ONLY)


def choose(config: WireguardConfig) -> Engine:
    """The kernel's where it has one, else wireguard-go. Raises NetworkError when there is neither."""
    if inkernel.available():
        return inkernel.InKernel(config.device)
    if userspace.executable():
        return userspace.Userspace(config)
    raise NetworkError(MISSING)
