"""The limit of a pod's processes."""

from __future__ import annotations

import pytest

from motet.kinds.metadata import validate_labels
from motet.kinds.processes import LIMIT, limit


@pytest.mark.parametrize(
    ("own", "of_node", "both"),
    [(None, 0, 0), (None, 4096, 4096), ("100", 0, 101), ("100", 4096, 101), ("100", 50, 50), ("none", 50, 50)],
)
def test_the_narrower_limit_counts(own: str | None, of_node: int, both: int) -> None:
    assert limit({LIMIT: own} if own else {}, of_node) == both


@pytest.mark.parametrize("text", ["0", "-1", "many", "4194305", ""])
def test_what_is_no_number_of_processes_is_refused(text: str) -> None:
    (error,) = validate_labels({"annotations": {LIMIT: text}}, "metadata")
    assert error.path == f"metadata.annotations[{LIMIT}]"
    assert validate_labels({"annotations": {LIMIT: "7"}}, "metadata") == []
