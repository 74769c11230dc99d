"""The pod of one slot of an App."""

from __future__ import annotations

from typing import Any

from tests.controllers import builders

from motet.controllers.apppods import pod_of
from motet.controllers.apps import NewTask
from motet.kinds import placeholders, podmarks


def test_placeholders_know_labels_of_any_form_that_a_service_was_given() -> None:
    asked = '{{.Service.Labels.kernel}} {{index .Service.Labels "a b"}} {{.Task.Slot}}'
    template: dict[str, Any] = {
        "metadata": {"annotations": {podmarks.EXPANDED: "config-0"}},
        "spec": {"containers": [{"name": "task", "image": "x", "env": [{"name": "A", "value": asked}]}]},
    }
    metadata = {
        "name": "web",
        "namespace": "default",
        "uid": "u",
        "labels": {"kernel": "own"},
        "annotations": {placeholders.LABELS: placeholders.labels_text({"a b": "c / d"})},
    }
    body = {"metadata": metadata, "spec": {"mode": {}, "expandTemplates": True, "template": template}}
    made = pod_of(builders.document("motet.dev/apps", body), {}, NewTask("2"), "v")
    assert made["spec"]["containers"][0]["env"] == [{"name": "A", "value": "own c / d 2"}]
    told = podmarks.values(made["metadata"]["annotations"])
    assert told.labels == {"kernel": "own", "a b": "c / d"}
