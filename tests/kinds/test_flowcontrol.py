"""FlowSchemas and levels: defaults, and refusals in upstream's words."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import flowcontrol, flowschema, prioritylevelconfiguration
from motet.kinds.kind import Kind

Json = dict[str, Any]
SUBJECT = {"kind": "User", "user": {"name": "eve"}}
RULE = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}


def complaints(kind: Kind, name: str, spec: Json) -> list[str]:
    document = {"metadata": {"name": name}, "spec": copy.deepcopy(spec)}
    kind.default(document)
    return [f"{error.path}: {error.detail}" for error in kind.validate(document, None)]


def schema(rule: Json | None = None, **spec: Any) -> Json:
    rules = [{"subjects": [SUBJECT], "resourceRules": [RULE], **(rule or {})}]
    return {"priorityLevelConfiguration": {"name": "x"}, "rules": rules, **spec}


def level(**limited: Any) -> Json:
    return {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}, **limited}}


@pytest.mark.parametrize(
    ("kind", "specs"),
    [
        (flowschema.KIND, {**flowcontrol.MANDATORY_SCHEMAS, **flowcontrol.SUGGESTED_SCHEMAS}),
        (prioritylevelconfiguration.KIND, {**flowcontrol.MANDATORY_LEVELS, **flowcontrol.SUGGESTED_LEVELS}),
    ],
)
def test_what_a_cluster_begins_with_is_valid_and_complete(kind: Kind, specs: dict[str, Json]) -> None:
    for name, spec in specs.items():
        document = {"metadata": {"name": name}, "spec": copy.deepcopy(spec)}
        kind.default(document)
        assert document["spec"] == spec
        assert complaints(kind, name, spec) == []


def test_every_level_of_a_schema_is_there() -> None:
    schemas = {**flowcontrol.MANDATORY_SCHEMAS, **flowcontrol.SUGGESTED_SCHEMAS}
    levels = {**flowcontrol.MANDATORY_LEVELS, **flowcontrol.SUGGESTED_LEVELS}
    assert {spec["priorityLevelConfiguration"]["name"] for spec in schemas.values()} == set(levels)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (schema(matchingPrecedence=-1), "spec.matchingPrecedence: must be a positive value"),
        (schema(matchingPrecedence=10001), "spec.matchingPrecedence: must not be greater than 10000"),
        (
            schema(matchingPrecedence=1),
            "spec.matchingPrecedence: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            schema(priorityLevelConfiguration={"name": ""}),
            "spec.priorityLevelConfiguration.name: must reference a priority level",
        ),
        (schema({"subjects": []}), "spec.rules[0].subjects: subjects must contain at least one value"),
        (
            schema({"resourceRules": []}),
            "spec.rules[0]: at least one of resourceRules and nonResourceRules has to be non-empty",
        ),
        (
            schema({"subjects": [{"kind": "User"}]}),
            "spec.rules[0].subjects[0].user: user is required when subject kind is 'User'",
        ),
        (
            schema({"subjects": [{**SUBJECT, "group": {"name": "g"}}]}),
            "spec.rules[0].subjects[0].group: group is forbidden when subject kind is not 'Group'",
        ),
        (
            schema({"resourceRules": [{**RULE, "verbs": ["*", "get"]}]}),
            "spec.rules[0].resourceRules[0].verbs: if '*' is present, must not specify other verbs",
        ),
        (
            schema({"resourceRules": [{**RULE, "namespaces": []}]}),
            "spec.rules[0].resourceRules[0].namespaces: resource rules that are not cluster scoped must supply at least "
            "one namespace",
        ),
        (
            schema({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/a*"]}]}),
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: wildcard can only do suffix matching",
        ),
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(spec: Json, complaint: str) -> None:
    assert complaint in complaints(flowschema.KIND, "mine", spec)


@pytest.mark.parametrize(
    ("name", "spec", "complaint"),
    [
        ("exempt", level(), "spec.type: type must be 'Exempt' if and only if name is 'exempt'"),
        ("exempt", level(), "spec: spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"),
        ("catch-all", level(), "spec: spec of 'catch-all' must equal the fixed value"),
        ("x", {"type": "Limited"}, "spec.limited: must not be empty when type is Limited"),
        (
            "x",
            level(nominalConcurrencyShares=-1),
            "spec.limited.nominalConcurrencyShares: must be a non-negative integer",
        ),
        ("x", level(lendablePercent=101), "spec.limited.lendablePercent: must be between 0 and 100, inclusive"),
        (
            "x",
            level(limitResponse={"type": "Queue"}),
            "spec.limited.limitResponse.queuing: must not be empty if limited.limitResponse.type is Limited",
        ),
        (
            "x",
            level(limitResponse={"type": "Queue", "queuing": {"queues": 4}}),
            "spec.limited.limitResponse.queuing.handSize: should not be greater than queues (4)",
        ),
        (
            "x",
            level(limitResponse={"type": "Queue", "queuing": {"queues": 1024, "handSize": 10}}),
            "spec.limited.limitResponse.queuing.handSize: required entropy bits of deckSize 1024 and handSize 10 should "
            "not be greater than 60",
        ),
    ],
)
def test_a_level_that_makes_no_sense_is_refused(name: str, spec: Json, complaint: str) -> None:
    assert complaint in complaints(prioritylevelconfiguration.KIND, name, spec)


def test_what_exempt_lends_may_be_changed() -> None:
    spec = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7, "lendablePercent": 10}}
    assert complaints(prioritylevelconfiguration.KIND, "exempt", spec) == []


def test_columns_are_upstreams() -> None:
    document = {"metadata": {"name": "global-default"}, "spec": flowcontrol.SUGGESTED_LEVELS["global-default"]}
    cells = {
        column.name: column.cell(document, datetime.now(UTC)) for column in prioritylevelconfiguration.KIND.columns
    }
    assert list(cells) == ["Name", "Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit", "Age"]
    assert list(cells.values())[1:6] == ["Limited", "20", "128", "6", "50"]
