from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import job

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]

KIND = job.KIND
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEMPLATE = {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
FINE: Json = {"metadata": {"name": "web", "uid": "u1"}, "spec": {"template": TEMPLATE}}
INDEXED = {"completionMode": "Indexed", "completions": 3}
UID, NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


def test_a_job_is_filled_in(created: Create) -> None:
    spec = created(KIND, FINE)["spec"]
    assert {key: spec[key] for key in spec if key not in ("template", "selector")} == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "manualSelector": False,
    }


def test_the_selector_is_the_uid_and_the_pods_carry_it(created: Create) -> None:
    spec = created(KIND, FINE)["spec"]
    assert spec["selector"] == {"matchLabels": {UID: "u1"}}
    labels = {UID: "u1", NAME: "web", "controller-uid": "u1", "job-name": "web"}
    assert spec["template"]["metadata"]["labels"] == labels


def test_a_queue_of_work_has_no_completions(created: Create, change: Create) -> None:
    assert "completions" not in created(KIND, change(FINE, {"spec": {"parallelism": 3}}))["spec"]


def test_a_failure_policy_replaces_only_what_has_failed(created: Create, change: Create) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    spec = created(KIND, change(FINE, {"spec": {"podFailurePolicy": {"rules": [rule]}}}))["spec"]
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_the_least_is_fine(complaints: Complaints) -> None:
    assert complaints(KIND, FINE) == []


CODES = {"operator": "In", "values": [1]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parallelism": -1}, "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"template": {"spec": {"restartPolicy": "Always"}}},
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
        (
            {"completionMode": "Indexed", "parallelism": 1},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
        (
            {"backoffLimitPerIndex": 1},
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
        ),
        (
            {**INDEXED, "maxFailedIndexes": 1},
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
        ),
        (
            {**INDEXED, "backoffLimitPerIndex": 1, "maxFailedIndexes": 4},
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": CODES}]}},
            'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": '
            "requires the backoffLimitPerIndex to be set",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}]}},
            "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        ),
        (
            {"podFailurePolicy": {"rules": [{"action": "Count", "onExitCodes": {**CODES, "containerName": "x"}}]}},
            'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": '
            "must be one of the container or initContainer names in the pod template",
        ),
        (
            {"podFailurePolicy": {"rules": []}, "podReplacementPolicy": "TerminatingOrFailed"},
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
        ),
        (
            {"successPolicy": {"rules": [{"succeededCount": 1}]}, "completions": 2},
            'spec.successPolicy: Invalid value: {"rules": [{"succeededCount": 1}]}: requires indexed completion mode',
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{}]}},
            "spec.successPolicy.rules[0]: Required value: "
            "at least one of succeededCount or succeededIndexes must be specified",
        ),
        (
            {**INDEXED, "successPolicy": {"rules": [{"succeededIndexes": "0-5"}]}},
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-5": '
            'error parsing succeededIndexes: too large index: "5"',
        ),
        (
            {"managedBy": "me"},
            'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (
            {"scheduling": {}},
            "spec.scheduling: Forbidden: pods of a job are placed one by one here, not as a group",
        ),
    ],
)
def test_a_job_may_not_have(changes: Json, expected: str, complaints: Complaints, change: Create) -> None:
    assert complaints(KIND, change(FINE, {"spec": changes})) == [expected]


def test_labels_that_contradict_the_generated_ones_are_refused(complaints: Complaints, change: Create) -> None:
    labels = {"template": {"metadata": {"labels": {UID: "other"}}}}
    found = complaints(KIND, change(FINE, {"spec": labels}))
    assert found[0].startswith(f"spec.template.metadata.labels[{UID}]: Invalid value: ")


def test_a_selector_of_ones_own_needs_to_be_asked_for(complaints: Complaints, change: Create) -> None:
    own = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}
    assert complaints(KIND, change(FINE, {"spec": {**own, "manualSelector": True}})) == []
    assert "`selector` not auto-generated" in complaints(KIND, change(FINE, {"spec": own}))[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"parallelism": 4},
        {"suspend": True},
        {"activeDeadlineSeconds": 9},
        {"backoffLimit": 1},
        {"ttlSecondsAfterFinished": 5},
    ],
)
def test_what_may_change(changes: Json, update_complaints: Complaints) -> None:
    assert update_complaints(KIND, FINE, {"spec": changes}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"completions": 4},
        {"completionMode": "Indexed"},
        {"selector": {"matchLabels": {"x": "y"}}},
        {"template": {"spec": {"nodeSelector": {"a": "b"}}}},
    ],
)
def test_what_may_not_change(changes: Json, update_complaints: Complaints) -> None:
    assert any("field is immutable" in each for each in update_complaints(KIND, FINE, {"spec": changes}))


def test_an_indexed_job_grows_all_at_once(update_complaints: Complaints, change: Create) -> None:
    indexed = change(FINE, {"spec": {**INDEXED, "parallelism": 3}})
    assert update_complaints(KIND, indexed, {"spec": {"completions": 5, "parallelism": 5}}) == []
    assert update_complaints(KIND, indexed, {"spec": {"completions": 5}}) == [
        "spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"
    ]


def test_where_the_pods_of_a_job_go_may_change_until_it_starts(update_complaints: Complaints, change: Create) -> None:
    waiting = change(FINE, {"spec": {"suspend": True}})
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
    placing = {"template": {"spec": {"nodeSelector": {"a": "b"}, "affinity": affinity}}}
    assert all("template:" not in each for each in update_complaints(KIND, waiting, {"spec": placing}))
    image = {"template": {"spec": {"containers": [{"name": "c", "image": "other"}]}}}
    assert any("field is immutable" in each for each in update_complaints(KIND, waiting, {"spec": image}))


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({}, "Running"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "Complete"),
        ({"conditions": [{"type": "Suspended", "status": "False"}]}, "Running"),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}]}, "FailureTarget"),
    ],
)
def test_kubectl_shows_what_has_become_of_it(status: Json, shown: str) -> None:
    assert cell("Status", {"status": status}) == shown


def test_kubectl_shows_completions_and_duration(created: Create, change: Create) -> None:
    begun = {"startTime": "2026-01-01T11:59:00Z", "succeeded": 2}
    document = deepcopy(created(KIND, change(FINE, {"spec": {"completions": 3}})))
    document["status"] = begun
    assert (cell("Completions", document), cell("Duration", document)) == ("2/3", "60s")
    del document["spec"]["completions"]
    document["spec"]["parallelism"] = 4
    assert cell("Completions", document) == "2/1 of 4"


def cell(name: str, document: Json) -> Any:
    return next(column.cell(document, NOW) for column in KIND.columns if column.name == name)
