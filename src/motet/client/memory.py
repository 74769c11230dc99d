"""What tables held last, on disk: for a process that has to begin while the server is away.

Good for answering questions by, such as where a name leads: an answer that is a little old is better than none. Nothing is
changed by it: what was kept may be seconds older than what the kernel holds already, and a pod that was replaced elsewhere
must not begin again here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from motet.base import files

_log = logging.getLogger(__name__)


class Memory:
    """A directory with a file for each table that is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

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
