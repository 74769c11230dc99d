"""Writing to the log: appending a batch, forgetting what compaction lets go, copying the whole."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from motet.store.layout import first_id

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


def copy(source: Path, target: Path) -> None:
    """SQLite's online backup, then flushed to disk."""
    target.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(source)) as reader, contextlib.closing(sqlite3.connect(target)) as writer:
        target.chmod(0o600)
        reader.backup(writer)
    with target.open("rb") as file:
        os.fsync(file.fileno())
