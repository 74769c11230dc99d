"""Python's Kubernetes clients, each doing what programs do with it. `make clients` runs this."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2e.space import Space

PYTHON = os.environ.get("CLIENTS_PYTHON", "")
FLOWS = Path(__file__).with_name("python_flows.py")
pytestmark = pytest.mark.skipif(not PYTHON, reason="make clients installs the Python clients")


@pytest.mark.parametrize("client", ["kubernetes", "kr8s", "lightkube"])
def test_things_are_made_changed_watched_and_removed(space: Space, client: str) -> None:
    kubeconfig = str(space.cluster.machine.kubeconfig)
    assert space.cluster.run(PYTHON, str(FLOWS), client, kubeconfig, space.namespace, timeout=120).stdout == "done\n"
