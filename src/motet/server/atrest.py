"""Keeping secrets encrypted on the disk: all of them, with the newest key, and no older key kept for longer than needed.

Who wants another key writes it into the file in front of the others (`motet secrets rotate-key`); this sees it, seals everything
anew and takes the older keys out. A crash at any point leaves a file whose keys open everything there is.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NoReturn

from motet.base.clock import Clock
from motet.store.sealing import Keys, Sealer
from motet.store.sqlite import SqliteStore

_log = logging.getLogger(__name__)

_LOOK_EVERY = 1.0


async def keep(store: SqliteStore, sealer: Sealer, path: Path, clock: Clock) -> NoReturn:
    """Look at the key file once a second; cancellation ends it. Raises StoreError, OSError."""
    seen: tuple[int, int] | None = None
    while True:
        found = path.stat()
        if (found.st_mtime_ns, found.st_ino) != seen:
            await renew(store, sealer, path)
            found = await asyncio.to_thread(path.stat)
            seen = (found.st_mtime_ns, found.st_ino)
        await clock.sleep(_LOOK_EVERY)


async def renew(store: SqliteStore, sealer: Sealer, path: Path) -> None:
    """Take the keys of the file into use, seal everything with the newest and forget the others."""
    keys = Keys.load(path)
    sealer.use(keys)
    changed = await store.reseal()
    if changed:
        _log.info("%d secrets are encrypted with the newest key now", changed)
    if len(keys.keys) > 1 and Keys.load(path).primary == keys.primary:
        sealer.use(keys.only_primary())
        keys.only_primary().save(path)
