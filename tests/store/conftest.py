"""Engines under test. Every engine joins the conformance suite by adding itself to ENGINES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from motet.store.engine import Store
from motet.store.sqlite import SqliteStore

# Each makes a new handle, still closed, on the data of one directory.
ENGINES: dict[str, Callable[[Path], Store]] = {
    "sqlite-full": lambda directory: SqliteStore(directory / "state.db", "FULL"),
    "sqlite-normal": lambda directory: SqliteStore(directory / "state.db", "NORMAL"),
}

Handle = Callable[[], Store]


@pytest.fixture(params=sorted(ENGINES))
def handle(request: pytest.FixtureRequest, tmp_path: Path) -> Handle:
    """Makes handles on the same data, one engine after the other."""
    return lambda: ENGINES[request.param](tmp_path)


@pytest.fixture
async def store(handle: Handle) -> AsyncIterator[Store]:
    """An open, empty store."""
    opened = handle()
    await opened.open()
    yield opened
    await opened.close()
