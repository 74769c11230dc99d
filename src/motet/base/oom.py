"""Whom the kernel kills first when memory runs out (proc(5), oom_score_adj)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# What kubelet and containerd have, too: no container gets less than -998.
NODE = -999

_OWN = Path("/proc/self/oom_score_adj")
# The redirections are of the shell itself, which becomes the command.
_ORDINARY = f'read -r now < {_OWN}; [ "$now" -ge 0 ] || echo 0 > {_OWN}; exec "$@"'


def protect(file: Path = _OWN) -> None:
    """Have this process, and all that it starts, killed last. Raises PermissionError without CAP_SYS_RESOURCE."""
    file.write_text(f"{NODE}\n")


def ordinary(command: Sequence[str]) -> list[str]:
    """A command line that runs `command` without the protection of who starts it: for what works for others."""
    return ["/bin/sh", "-c", _ORDINARY, "sh", *command]
