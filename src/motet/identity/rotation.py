"""Another root in three steps, each of which everybody must have taken before the next: files in a manager's `pki`.

prepare: the root to come is trusted beside the one that signs. switch: it signs, and the old one is still trusted. finish: the old
one is forgotten. A crash between two files leaves a state from which the same step can be taken again.
"""

from __future__ import annotations

import contextlib
from enum import Enum
from pathlib import Path

from motet.base.files import write_atomically
from motet.identity.authority import OTHER_ROOTS, Authority

_NEXT = "next"
# Below a manager's `pki`: the root of the front proxy, which signs nothing but its certificate; and what it is called.
FRONT_PROXY, FRONT_PROXY_NAME = "front-proxy", "motet-front-proxy"


def roots(pki: Path) -> tuple[Path, Path]:
    """The directories of all roots, the cluster's own last: it says how far a change has come."""
    return pki / FRONT_PROXY, pki


def prepare_all(pki: Path) -> None:
    """Begin, or go on to begin, with all roots. Raises IdentityError, OSError."""
    front, own = roots(pki)
    if stage(front) is Stage.NONE:
        prepare(front, FRONT_PROXY_NAME)
    if stage(own) is Stage.NONE:
        prepare(own)


def switch_all(pki: Path) -> None:
    """Raises OSError."""
    for each in roots(pki):
        if stage(each) is Stage.PREPARED:
            switch(each)


def finish_all(pki: Path) -> None:
    for each in roots(pki):
        finish(each)


def repair_all(pki: Path) -> None:
    """Raises OSError."""
    for each in roots(pki):
        repair(each)


class Stage(Enum):
    """How far a change of the root has come."""

    NONE = "none"
    PREPARED = "prepared"
    SWITCHED = "switched"


def stage(pki: Path) -> Stage:
    """Where a change that was begun stands."""
    if (pki / _NEXT / "ca.key").exists():
        return Stage.PREPARED if (pki / OTHER_ROOTS).exists() else Stage.NONE
    return Stage.SWITCHED if (pki / OTHER_ROOTS).exists() else Stage.NONE


def prepare(pki: Path, cluster: str = "motet") -> None:
    """Make the root to come, and have it trusted. Raises IdentityError, OSError."""
    if not (pki / _NEXT / "ca.crt").exists():
        Authority.create(pki / _NEXT, cluster=cluster)
    write_atomically(pki / OTHER_ROOTS, (pki / _NEXT / "ca.crt").read_bytes(), mode=0o644)


def switch(pki: Path) -> None:
    """Have the new root sign, the old one still being trusted. Raises OSError."""
    old, new = (pki / "ca.crt").read_bytes(), (pki / _NEXT / "ca.crt").read_bytes()
    if old != new:
        # Both are trusted whichever of the files below is the last to be written.
        write_atomically(pki / OTHER_ROOTS, old + new, mode=0o644)
        write_atomically(pki / "ca.key", (pki / _NEXT / "ca.key").read_bytes())
        write_atomically(pki / "ca.crt", new, mode=0o644)
    (pki / _NEXT / "ca.key").unlink()
    (pki / _NEXT / "ca.crt").unlink()


def repair(pki: Path) -> None:
    """Complete a switch in whose middle the machine stopped, after which certificate and key may not fit. Raises OSError."""
    others = pki / OTHER_ROOTS
    begun = others.exists() and others.read_bytes().count(b"-----BEGIN CERTIFICATE-----") > 1
    if begun and (pki / _NEXT / "ca.key").exists() and (pki / _NEXT / "ca.crt").exists():
        switch(pki)


def finish(pki: Path) -> None:
    """Forget the old root."""
    (pki / OTHER_ROOTS).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (pki / _NEXT).rmdir()
