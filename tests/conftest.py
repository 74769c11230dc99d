"""What holds for every test: laws are not timed, since the machine may be busy, and CI tries the same examples each time."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("motet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("motet"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "motet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a node need root; without it they fail by name rather than by accident."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("node"):
            item.add_marker(pytest.mark.skip(reason="needs root: run `make test`, or only the others with `make unit`"))
