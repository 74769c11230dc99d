"""What holds for every test: laws are not timed, since the machine may be busy, and CI tries the same examples each time."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_HERE = Path(__file__).parent

settings.register_profile("motet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("motet"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "motet")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a node need root; without it they fail by name rather than by accident.

    Where several processes share the tests, a file stays together, and so does a folder of tests on nodes: they share a
    cluster and take turns. pytest-xdist looks for that in the same hook, so this goes first; the folders' own conftest.py, which say what needs
    a node, go before it.
    """
    for item in items:
        place = item.path.relative_to(_HERE)
        node = item.get_closest_marker("node") is not None
        item.add_marker(pytest.mark.xdist_group(place.parts[0] if node else str(place)))
        if node and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: run `make test`, or only the others with `make unit`"))
