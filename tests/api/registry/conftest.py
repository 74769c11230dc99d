from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.registry.cluster import kernel

from motet.api.registry import Registry
from motet.base.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def registry(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Registry]:
    async with kernel(tmp_path, clock) as running:
        yield running
