"""Tasks as progress bars count them."""

from __future__ import annotations

import pytest

from dialects.docker.test_servicespec import app_of, spec, stored
from motet.controllers.appversion import version_of
from motet.dialects.docker import tasks
from motet.kinds.tasks import TEMPLATE_LABEL
from motet.store.document import Document, Key, encode, stamp


def pod(version: str) -> Document:
    document = {"metadata": {"name": "web-1", "labels": {TEMPLATE_LABEL: version}}}
    return Document(Key("core/pods", "default", "web-1"), stamp(encode(document), 3), 3)


@pytest.mark.parametrize(
    ("mode", "spoken_of", "of_now", "hidden"),
    [
        ("GlobalJob", False, True, True),
        ("GlobalJob", True, True, False),
        ("GlobalJob", False, False, False),
        ("ReplicatedJob", False, True, False),
    ],
)
def test_the_tasks_of_a_global_job_come_into_being_at_once(
    mode: str, spoken_of: bool, of_now: bool, hidden: bool
) -> None:
    app = app_of({**spec(), "Mode": {mode: {}}})
    version = version_of(stored(app).decode()["spec"])
    app["status"] = {"version": version if spoken_of else "before"}
    assert tasks.is_being_begun(pod(version if of_now else "before"), stored(app)) == hidden
