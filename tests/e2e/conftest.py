"""One cluster for the whole session; every test gets a namespace on it. Afterwards nothing may be left on the machine."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e import leftovers
from e2e.cluster import Cluster
from e2e.space import Space


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.node)


@contextmanager
def fresh_cluster(*, started: bool = True) -> Iterator[Cluster]:
    """A cluster that is taken away at the end, and must take everything with it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    name = f"me{uuid.uuid4().hex[:8]}"
    cluster = Cluster(name, Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/tmp")))
    leftovers.note(cluster)
    try:
        cluster.make_network()
        if started:
            cluster.start()
            cluster.import_busybox()
        yield cluster
        sockets = leftovers.shim_sockets(cluster)
        cluster.remove()
        in_kernel = leftovers.of_kernel(cluster)
    finally:
        left = leftovers.of_machine(cluster)
        leftovers.force(cluster)
        leftovers.forget(cluster)
    left += [f"socket {path}" for path in sockets if path.exists()]
    assert in_kernel + left == []


@pytest.fixture(scope="session")
def no_leftovers() -> None:
    leftovers.clear_dead_sessions()


@pytest.fixture(scope="session")
def cluster(no_leftovers: None) -> Iterator[Cluster]:
    with fresh_cluster() as made:
        yield made


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace of this test's own; it is deleted afterwards, in the background."""
    namespace = f"t-{uuid.uuid4().hex[:6]}"
    cluster.kubectl("create", "namespace", namespace)
    yield Space(cluster, namespace)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false", "--grace-period=1")
