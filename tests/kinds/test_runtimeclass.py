from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motet.kinds import runtimeclass

Complaints = Callable[..., list[str]]


def test_a_class_needs_a_handler_and_keeps_it(complaints: Complaints, update_complaints: Complaints) -> None:
    old: dict[str, Any] = {"metadata": {"name": "a"}, "handler": "runc"}
    assert complaints(runtimeclass.KIND, old) == []
    assert complaints(runtimeclass.KIND, {**old, "handler": "No_Name"}) != []
    assert update_complaints(runtimeclass.KIND, old, {"handler": "other"}) == [
        'handler: Invalid value: "other": field is immutable'
    ]


def test_overhead_and_place_are_checked(complaints: Complaints) -> None:
    document = {
        "metadata": {"name": "a"}, "handler": "runc", "overhead": {"podFixed": {"cpu": "-1"}},
        "scheduling": {"nodeSelector": {"a b": "c"}},
    }  # fmt: skip
    paths = {complaint.split(":")[0] for complaint in complaints(runtimeclass.KIND, document)}
    assert paths == {"overhead.podFixed[cpu]", "scheduling.nodeSelector"}
