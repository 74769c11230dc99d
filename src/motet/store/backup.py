"""A complete copy of a store, taken while a manager goes on writing to it (SQLite's online backup)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from motet.store import journal
from motet.store.engine import StoreError
from motet.store.layout import check_header, translate


def take(path: Path, target: Path) -> None:
    """Copy the store at `path` to the file `target`, readable by its owner only; `target` appears whole or not at all.

    Works from any process, whether or not a manager has the store open. Raises StoreError.
    """
    if not path.is_file() or not check_header(path):
        raise StoreError(f"there is no store at {path}")
    partial = target.with_name(target.name + ".partial")
    try:
        journal.copy(path, partial)
        partial.replace(target)
    except sqlite3.Error as error:
        raise translate(error, target) from error
    except OSError as error:
        raise StoreError(f"cannot write the backup {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
