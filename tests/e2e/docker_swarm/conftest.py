"""One testbed for all tests of this folder, and what each of them makes there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testbed.world import left

from dialects.docker.transcript import clients
from e2e.swarm import GRACE, NODES, Stage, Swarm
from motet.testbed import plan as plans
from motet.testbed.cluster import Testbed


@pytest.fixture(scope="package")
def swarm(no_leftovers: None) -> Iterator[Swarm]:
    if not clients():
        pytest.skip("there is no docker command here")
    with tempfile.TemporaryDirectory(prefix="motet-swarm-", dir="/var/tmp") as directory:
        testbed = Testbed(Path(directory, "bed"))
        roots: list[str] = []
        try:
            asyncio.run(testbed.up(len(NODES), node_grace=GRACE))
            made = Swarm(testbed, Path(directory))
            made.prepare()
            yield made
            roots = [testbed.box(member.name).machine.cgroup_root for member in testbed.plan.members]
        finally:
            asyncio.run(testbed.down())
        assert left(plans.tag(testbed.directory), roots) == []


@pytest.fixture
def service(swarm: Swarm, request: pytest.FixtureRequest) -> Iterator[str]:
    """A name for a service, which is removed afterwards."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    yield name
    swarm.docker("service", "rm", name, code=None)


@pytest.fixture
def stage(swarm: Swarm) -> Iterator[Stage]:
    made = Stage(swarm)
    yield made
    made.clear()
