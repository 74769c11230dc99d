"""What tables held last, on disk: for a process that has to begin while the server is away.

Only for tables without which a node that works would stop working, and that nobody is harmed by if they are a little old: where
services lead, and so the names. While the server is away nothing changes in them, so what was kept is what was last known. Pods
are not among them: one that was replaced elsewhere must not begin again here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from motet.base import files
from motet.kinds import endpointslice, network, service

_log = logging.getLogger(__name__)

KEPT = frozenset(kind.KIND.resource for kind in (service, endpointslice, network))


class Memory:
    """A directory with a file for each table that is kept."""

    def __init__(self, directory: Path, kept: frozenset[str] = KEPT) -> None:
        self._directory = directory
        self._kept = kept

    def keeps(self, resource: str) -> bool:
        return resource in self._kept

    def recall(self, resource: str) -> list[bytes] | None:
        """The objects that were kept, as they came from the server; None when none ever were, or they cannot be read."""
        try:
            found = msgspec.json.decode(self._file(resource).read_bytes(), type=list[msgspec.Raw])
        except (OSError, msgspec.MsgspecError):
            return None
        return [bytes(each) for each in found]

    def keep(self, resource: str, objects: Iterable[bytes]) -> None:
        """Replace what is kept. Blocking. That there is no room for it is told and does no harm."""
        try:
            files.write_atomically(self._file(resource), b"[" + b",".join(objects) + b"]")
        except OSError as error:
            _log.warning("what is known of %s cannot be kept: %s", resource, error)

    def _file(self, resource: str) -> Path:
        return self._directory / f"{resource.replace('/', '.')}.json"
