"""One testbed for all faults, which happen one after another. Nothing may be left of it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.bed import GRACE, NODES, Bed
from tests.testbed.world import left

from motet.runtime import mounts
from motet.testbed import plan as plans
from motet.testbed.cluster import Testbed


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.node)


@pytest.fixture(scope="session")
def shared_bed() -> Iterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="motet-faults-", dir="/var/tmp") as directory:
        testbed = Testbed(Path(directory, "bed"))
        bed = Bed(testbed)
        try:
            # Small disks, to be filled: all of a worker's, and the one the manager's database is on.
            bed.disk("n3/motet", 160)
            bed.disk("n1/motet/server", 48)
            asyncio.run(testbed.up(len(NODES), node_grace=GRACE))
            roots = [testbed.box(name).machine.cgroup_root for name in NODES]
            bed.prepare(Path(directory, "image.tar"))
            yield bed
        finally:
            asyncio.run(testbed.down())
            mounts.unmount_below(Path(directory))
        assert left(plans.tag(testbed.directory), roots) == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    shared = getattr(item, "funcargs", {}).get("shared_bed")
    if report.failed and shared is not None:
        for log in sorted(shared.testbed.directory.glob("nodes/*/motet/*/*.log")):
            tail = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-25:])
            report.sections.append((str(log.relative_to(shared.testbed.directory)), tail))
    return report


@pytest.fixture
def bed(shared_bed: Bed) -> Iterator[Bed]:
    """Whole before a fault, with pods on every node, and whole after it."""
    shared_bed.mend()
    shared_bed.whole()
    shared_bed.motet("rebalance", "-q")
    yield shared_bed
    shared_bed.whole()
