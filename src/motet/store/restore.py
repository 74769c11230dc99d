"""Putting a backup in the place of a damaged store."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from motet.store import journal, layout
from motet.store.engine import StoreError
from motet.store.history import History
from motet.store.hold import Hold

# Far more revisions than can have been given out since the backup was made.
_LEAP = 1 << 32


def restore(backup: Path, path: Path) -> Path | None:
    """Make the store at `path` what `backup` holds, and give the directory its old files were moved to, if any.

    Revisions leap ahead and all history is forgotten, so that clients which saw revisions later than the backup are told to
    list again instead of mistaking new revisions for those. The backup itself is left alone.
    Raises StoreInUse, StoreDamaged (of the backup), StoreError.
    """
    hold = Hold(path.with_name(path.name + ".lock"))
    hold.take()
    fresh = path.with_name(path.name + ".restoring")
    try:
        if not backup.is_file() or not layout.check_header(backup):
            raise StoreError(f"there is no backup at {backup}")
        shutil.copyfile(backup, fresh)
        fresh.chmod(0o600)
        _leap(fresh)
        aside = _move_aside(path)
        fresh.replace(path)
        layout.flush_directory(path.parent)
    except sqlite3.Error as error:
        raise layout.translate(error, backup) from error
    except OSError as error:
        raise StoreError(f"cannot restore {path} from {backup}: {error.strerror}") from error
    finally:
        for leftover in path.parent.glob(fresh.name + "*"):
            leftover.unlink(missing_ok=True)
        hold.release()
    return aside


def _leap(path: Path) -> None:
    with contextlib.closing(layout.connect(path, "FULL")) as connection:
        layout.prepare(connection, path, exists=True)
        with contextlib.closing(History(path)) as history:
            marks = history.marks()
            last = max(history.last_revision(), marks["compacted"])
        journal.sweep(connection, marks["swept"], last)
        for name in ("compacted", "swept"):
            journal.mark(connection, name, last + _LEAP)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _move_aside(path: Path) -> Path | None:
    files = [found for ending in ("", "-wal", "-shm") if (found := path.with_name(path.name + ending)).exists()]
    if not files:
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    aside.mkdir(mode=0o700)
    for file in files:
        file.rename(aside / file.name)
    return aside
