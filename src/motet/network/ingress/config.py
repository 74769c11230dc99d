"""Where one node's HTTP proxy lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressConfig:
    """`run` is cleared by a reboot and holds no secret: certificates are handed over through the socket."""

    run: Path
    log: Path
    cgroup: str
    ports: tuple[int, int] = (80, 443)

    @classmethod
    def below(cls, data: Path, run: Path, *, cgroup_root: str) -> IngressConfig:
        """The usual layout. Not below `run`, which only root may enter."""
        return cls(run=run.with_name(f"{run.name}-ingress"), log=data / "ingress.log", cgroup=f"{cgroup_root}/system")

    @property
    def socket(self) -> Path:
        """Where Caddy is told what to do."""
        return self.run / "admin.sock"
