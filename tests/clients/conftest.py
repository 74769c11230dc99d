"""The cluster that the walk-throughs share is that of the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.conftest import cluster, no_leftovers, space

__all__ = ["cluster", "no_leftovers", "space"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.node)
