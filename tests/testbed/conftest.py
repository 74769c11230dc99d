"""One testbed for all tests of this folder that need a cluster. Nothing may be left of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testbed.world import NODES, World, left

from motet.testbed import plan as plans
from motet.testbed.cluster import Testbed


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="motet-testbed-", dir="/var/tmp") as directory:
        testbed = Testbed(Path(directory, "bed"))
        tag = plans.tag(testbed.directory)
        roots = []
        try:
            began = time.monotonic()
            asyncio.run(testbed.up(3))
            assert time.monotonic() - began < 30
            roots = [testbed.box(name).machine.cgroup_root for name in NODES]
            made = World(testbed)
            asyncio.run(made.prepare(Path(directory, "image.tar")))
            yield made
        finally:
            assert asyncio.run(testbed.down())
        assert left(tag, roots) == []
        assert not testbed.directory.exists()
        assert not asyncio.run(testbed.down()), "a second time there is nothing to take down"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A node that has left does not come back: that test is the last."""
    items.sort(key=lambda item: item.path.name == "test_leaving.py" and item.path.parent == Path(__file__).parent)
