"""What Motet's processes import they hold for as long as the machine is up; some libraries are large and not for all of them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "not_for_it"),
    [
        # The manager speaks to no container runtime.
        ("motet.server.main", {"grpc", "google", "pyroute2"}),
        # Nodes do not schedule.
        ("motet.agent.main", {"numpy"}),
        ("motet.machine.supervisor", {"asyncio", "dataclasses", "logging", "pathlib", "msgspec", "click"}),
    ],
)
def test_a_process_imports_nothing_large_that_it_does_not_need(module: str, not_for_it: set[str]) -> None:
    asked = f"import sys, {module}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert not_for_it & set(found) == set()
