"""The SQLite file: its tables, its versions, and whether it is sound.

One table matters: `log`, in which every change is one appended row and nothing is ever updated in place. Appending by
integer key costs a quarter of what an upsert by text key does. A row's `id` is its transaction's revision and its place in
that transaction, so that order, history and atomicity all come from the primary key. `previous` is the id of the row it
supersedes: following it gives the past, and compaction deletes exactly what newer rows point at. `crc` guards the value
against rotten disks, which SQLite itself would not notice.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from motet.store.engine import StoreDamaged, StoreError

# A transaction may hold this many changes; the rest of the 63 bits is the revision.
POSITION_BITS = 20
MOST_CHANGES = 1 << POSITION_BITS

_APPLICATION_ID = 0x4D4F5445  # "MOTE"
_HEADER = b"SQLite format 3\x00"
# Up to this size (bytes) every page is checked at opening, which takes well under a second; above it only what is read.
_FULL_CHECK_SIZE = 256 * 1024 * 1024

_MIGRATIONS: Sequence[Sequence[str]] = (
    (
        """CREATE TABLE log (
            id INTEGER PRIMARY KEY,
            key TEXT NOT NULL,
            created INTEGER NOT NULL,
            previous INTEGER NOT NULL,
            crc INTEGER NOT NULL,
            value BLOB
        )""",
        # compacted: history before this revision is gone. swept: its rows have been deleted up to this revision.
        "CREATE TABLE mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO mark VALUES ('compacted', 0), ('swept', 0)",
    ),
)
LATEST_VERSION = len(_MIGRATIONS)


def first_id(revision: int) -> int:
    """The lowest row id that a transaction of this revision can have."""
    return revision << POSITION_BITS


def revision_of(row_id: int) -> int:
    return row_id >> POSITION_BITS


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's complaint as ours, with what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"cannot write to {path}: the disk is full; free some space and try again")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"cannot open {path}: {error}; check that the directory exists and may be written to")
    return StoreError(f"cannot use {path}: {error}")


def damaged(path: Path, detail: str) -> StoreDamaged:
    return StoreDamaged(
        f"{path} is damaged ({detail}) and was left as it is; put a backup in its place with: motet restore BACKUP"
    )


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection in autocommit mode: one statement, one transaction, unless BEGIN says otherwise."""
    # Statements for every batch size up to the largest stay prepared.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=300, timeout=5)
    try:
        connection.execute(f"PRAGMA synchronous={synchronous}")
        # Two ordinary documents to a page. Counts for new files only.
        connection.execute("PRAGMA page_size=8192")
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise StoreError(f"{path} cannot have a write-ahead log there; put it on a local file system")
        connection.execute("PRAGMA wal_autocheckpoint=1000")
        connection.execute(f"PRAGMA journal_size_limit={64 * 1024 * 1024}")
        connection.execute("PRAGMA temp_store=MEMORY")
        # What is deleted or overwritten is zeros on the disk, so that no secret outlives its object.
        connection.execute("PRAGMA secure_delete=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def check_header(path: Path) -> bool:
    """Whether there is something in the file, which is made if need be (readable by its owner only).

    Raises StoreDamaged when it is no SQLite file at all, StoreError when it cannot be made or read.
    """
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        raise StoreError(f"cannot open {path}: {error.strerror}") from error
    if header and header != _HEADER:
        raise damaged(path, "its first bytes are not those of a store")
    log = path.with_name(path.name + "-wal")
    if not header and log.exists() and log.stat().st_size:
        # SQLite would take the empty file for a new one and throw the log away.
        raise damaged(path, "it is empty but its write-ahead log is not")
    return bool(header)


def flush_directory(directory: Path) -> None:
    """Make a file's name as durable as its content."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare(connection: sqlite3.Connection, path: Path, *, exists: bool) -> None:
    """Make the file ours and bring it to the latest version. Raises StoreDamaged, StoreError."""
    if exists:
        _check_pages(connection, path)
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application not in (_APPLICATION_ID, 0) or (application == 0 and tables):
        raise StoreError(f"{path} is a database of something else; give Motet a file of its own")
    if application == _APPLICATION_ID and "schema_version" not in tables:
        raise damaged(path, "its tables are missing")
    version = 0
    if tables:
        (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    if version > LATEST_VERSION:
        raise StoreError(
            f"{path} was written by a newer Motet (layout {version}, this one knows up to {LATEST_VERSION}); "
            "start that version, or restore a backup from before the upgrade"
        )
    if version < LATEST_VERSION:
        _migrate(connection, version)
    if not exists:
        flush_directory(path.parent)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """All steps in one transaction: a file is never left between two layouts."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied TEXT NOT NULL)"
        )
        for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?, ?)", (number, datetime.now(UTC).isoformat()))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > _FULL_CHECK_SIZE:
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, verdict.splitlines()[-1])
