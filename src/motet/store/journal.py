"""Writing to the log: appending a batch, forgetting what compaction lets go, copying the whole."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from pathlib import Path

from motet.store.engine import StoreError
from motet.store.layout import first_id
from motet.store.sealing import PREFIXES, Sealer

# One statement writes a whole batch; this many rows of six values stay far below SQLite's limit on parameters.
BATCH_ROWS = 256
_WIDTH = 6
_ROW = "(?,?,?,?,?,?)"


def append(connection: sqlite3.Connection, parameters: list[object]) -> None:
    """Add rows, given flat (id, key, created, previous, crc, value, id, ...), in one durable commit.

    An ordinary batch is one statement and so one commit by itself; a huge transaction takes several inside one.
    """
    size = BATCH_ROWS * _WIDTH
    if len(parameters) <= size:
        _insert(connection, parameters)
        return
    connection.execute("BEGIN IMMEDIATE")
    for start in range(0, len(parameters), size):
        _insert(connection, parameters[start : start + size])
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, parameters: list[object]) -> None:
    if parameters:
        rows = ",".join([_ROW] * (len(parameters) // _WIDTH))
        connection.execute("INSERT INTO log VALUES " + rows, parameters)  # noqa: S608 - only placeholders


def mark(connection: sqlite3.Connection, name: str, revision: int) -> None:
    connection.execute("UPDATE mark SET revision = max(revision, ?) WHERE name = ?", (revision, name))


def sweep(connection: sqlite3.Connection, after: int, until: int) -> None:
    """Delete what revisions (after, until] superseded, and their own deletions, which nothing points at any more."""
    span = (first_id(after + 1), first_id(until + 1))
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM log WHERE id IN (SELECT previous FROM log WHERE id >= ? AND id < ?)", span)
    connection.execute("DELETE FROM log WHERE id >= ? AND id < ? AND value IS NULL", span)
    mark(connection, "swept", until)
    connection.execute("COMMIT")


class Resealing:
    """A job over some of the rows after `position`: those sealed with an older key, or not at all, are sealed anew.

    `changed` counts them afterwards; `reached` is where the next one has to begin, None when there is no more.
    """

    def __init__(self, sealer: Sealer, position: int) -> None:
        self._sealer = sealer
        self._position = position
        self.changed = 0
        self.reached: int | None = None

    def __call__(self, connection: sqlite3.Connection) -> None:
        # A prefix as a range: `core/secrets/` up to `core/secrets0`, the character after the slash.
        ranges = " OR ".join("(key >= ? AND key < ?)" for _ in PREFIXES)
        bounds = [bound for prefix in PREFIXES for bound in (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))]
        rows = connection.execute(
            f"SELECT id, key, value FROM log WHERE id > ? AND value IS NOT NULL AND ({ranges}) ORDER BY id LIMIT ?",  # noqa: S608
            (self._position, *bounds, BATCH_ROWS),
        ).fetchall()
        stale = [(row_id, key, value) for row_id, key, value in rows if not self._sealer.is_current(value)]
        if stale:
            connection.execute("BEGIN IMMEDIATE")
            for row_id, key, value in stale:
                try:
                    opened = self._sealer.open(key, value)
                except StoreError:
                    continue  # of the past, with a key that is no more: nobody can read it
                sealed = self._sealer.seal(key, opened)
                connection.execute(
                    "UPDATE log SET value = ?, crc = ? WHERE id = ?", (sealed, zlib.crc32(sealed), row_id)
                )
            connection.execute("COMMIT")
        self.changed = len(stale)
        self.reached = rows[-1][0] if len(rows) == BATCH_ROWS else None


def empty_log(connection: sqlite3.Connection) -> None:
    """Bring everything into the file and leave nothing in the write-ahead log, if no reader is in the way."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def copy(source: Path, target: Path) -> None:
    """SQLite's online backup, then flushed to disk."""
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as reader, contextlib.closing(sqlite3.connect(target)) as writer:
        target.chmod(0o600)
        reader.backup(writer)
    with target.open("rb") as file:
        os.fsync(file.fileno())
