"""Reading the log: values by row, the state at an earlier revision, the events of a range of revisions.

Reads use a connection of their own, which in WAL mode neither waits for the writer nor makes it wait.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from motet.store.engine import Entry, Event
from motet.store.layout import damaged, first_id, revision_of, translate
from motet.store.sealing import Sealer

# SQLite takes thousands of parameters; a few hundred already make the cost per row flat.
_ROWS_AT_ONCE = 400

IndexEntry = tuple[int, int]  # row id, revision of the key's first write


class History:
    """Questions to the log. Every method is quick enough for the event loop; long ranges are for the caller to slice."""

    def __init__(self, path: Path, sealer: Sealer | None = None) -> None:
        self._path = path
        self._sealer = sealer
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._connection.execute("PRAGMA query_only=ON")

    def close(self) -> None:
        self._connection.close()

    def marks(self) -> dict[str, int]:
        """`compacted` and `swept`, as revisions."""
        return dict(self._query("SELECT name, revision FROM mark"))

    def last_revision(self) -> int:
        """Of the newest row; 0 when there is none."""
        (last,) = self._query("SELECT max(id) FROM log")[0]
        return revision_of(last or 0)

    def load_index(self) -> dict[str, IndexEntry]:
        """Every key that exists now."""
        index: dict[str, IndexEntry] = {}
        try:
            # The columns before `value` answer this; a large value's overflow pages are never read.
            rows = self._connection.execute("SELECT id, key, created, value IS NULL FROM log ORDER BY id")
            for row_id, key, created, deleted in rows:
                if deleted:
                    index.pop(key, None)
                else:
                    index[key] = (row_id, created)
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
        return index

    def entries(self, row_ids: Sequence[int]) -> list[Entry]:
        """The rows as entries, in the order asked for. Rows that compaction took meanwhile are left out."""
        found: dict[int, Entry] = {}
        remaining = iter(row_ids)
        while chunk := tuple(islice(remaining, _ROWS_AT_ONCE)):
            marks = ",".join("?" * len(chunk))
            rows = self._query(f"SELECT id, key, created, crc, value FROM log WHERE id IN ({marks})", chunk)  # noqa: S608
            for row_id, key, created, crc, value in rows:
                found[row_id] = Entry(key, self._read(key, value, crc), created, revision_of(row_id))
        return [found[row_id] for row_id in row_ids if row_id in found]

    def touched(self, prefix: str, after: int, until: int) -> dict[str, int]:
        """Keys changed in revisions (after, until] -> id of the row that held them at `after`, 0 when none did."""
        rows = self._query(
            "SELECT key, previous FROM log WHERE id >= ? AND id < ? AND substr(key, 1, ?) = ? ORDER BY id DESC",
            (first_id(after + 1), first_id(until + 1), len(prefix), prefix),
        )
        # Newest first, so that the oldest change of a key, which knows the state before all of them, has the last word.
        return dict(rows)

    def events(self, prefix: str, after: int, until: int) -> list[Event]:
        """What happened to `prefix` in revisions (after, until], in order, with previous values."""
        rows = self._query(
            "SELECT log.id, log.key, log.created, log.crc, log.value, old.crc, old.value"
            " FROM log LEFT JOIN log AS old ON old.id = log.previous"
            " WHERE log.id >= ? AND log.id < ? AND substr(log.key, 1, ?) = ? ORDER BY log.id",
            (first_id(after + 1), first_id(until + 1), len(prefix), prefix),
        )
        events: list[Event] = []
        for row_id, key, created, crc, value, old_crc, old_value in rows:
            old = None if old_value is None else self._read(key, old_value, old_crc)
            new = None if value is None else self._read(key, value, crc)
            events.append(Event(key, new, old, created, revision_of(row_id)))
        return events

    def _read(self, key: str, stored: bytes, crc: int) -> bytes:
        if zlib.crc32(stored) != crc:
            raise damaged(self._path, f"the value of {key} does not match its checksum")
        return self._sealer.open(key, stored) if self._sealer is not None else stored

    def _query(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise translate(error, self._path) from error
