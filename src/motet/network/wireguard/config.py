"""Where one node's WireGuard lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# An interface's name has room for 15 characters.
DEVICE = "motet-wireguard"
PORT = 51842
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireguardConfig:
    """`keys` must outlive a reboot, `run` need not. The UDP port is the same on all nodes."""

    keys: Path
    run: Path
    cgroup: str
    device: str = DEVICE
    port: int = PORT
    # The routing table that leads into the device. Bits of a packet's mark: where not everything is encrypted, look there;
    # where everything is, look elsewhere.
    table: int = 4242
    mark: int = 0x0400_0000
    spared: int = 0x0800_0000
    # How old a key becomes before another takes its place.
    key_seconds: float = 30 * _DAY

    @classmethod
    def below(cls, data: Path, run: Path, *, cgroup_root: str) -> WireguardConfig:
        """The usual layout: what must last below `data`, what a reboot may clear below `run`."""
        return cls(keys=data / "wireguard", run=run / "wireguard", cgroup=f"{cgroup_root}/system")

    @property
    def socket(self) -> Path:
        """Where wireguard-go is told what to do."""
        return self.run / "wireguard" / f"{self.device}.sock"

    @property
    def log(self) -> Path:
        return self.keys / "wireguard-go.log"
