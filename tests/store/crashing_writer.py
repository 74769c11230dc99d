"""A program for the crash test: writes as fast as it can and says so, until somebody kills it.

Every transaction puts the same number under two keys of its writer; each acknowledged one is a line `WRITER NUMBER REVISION`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from motet.store.engine import Change
from motet.store.sqlite import SqliteStore


async def write(store: SqliteStore, writer: int, first: int) -> None:
    number = first
    while True:
        value = b"%d" % number
        revision = await store.submit([Change(f"left/{writer}", value), Change(f"right/{writer}", value)])
        os.write(1, b"%d %d %d\n" % (writer, number, revision))
        number += 1


async def compact(store: SqliteStore) -> None:
    while True:
        await store.compact(max(store.compacted, store.revision - 20))
        await asyncio.sleep(0.002)


async def main(path: str, synchronous: str, first: int) -> None:
    store = SqliteStore(path, synchronous)  # type: ignore[arg-type]
    await store.open()
    await asyncio.gather(compact(store), *(write(store, writer, first) for writer in range(8)))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
