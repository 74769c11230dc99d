"""What may stand in the configurations of admission webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import mutatingwebhookconfiguration as mutating
from motet.kinds import validatingwebhookconfiguration as validating
from motet.kinds.kind import Kind

Json = dict[str, Any]


def configuration(**hook: Any) -> Json:
    one = {
        "name": "one.example.com",
        "clientConfig": {"service": {"namespace": "default", "name": "hook"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    return {"webhooks": [{**one, **hook}]}


def rules(**rule: Any) -> Json:
    base = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    return configuration(rules=[{**base, **rule}])


@pytest.mark.parametrize("kind", [mutating.KIND, validating.KIND], ids=lambda kind: kind.kind)
def test_what_is_left_out_is_filled_in(created: Callable[[Kind, Json], Json], kind: Kind) -> None:
    [hook] = created(kind, configuration())["webhooks"]
    assert (hook["failurePolicy"], hook["matchPolicy"], hook["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert (hook["namespaceSelector"], hook["objectSelector"], hook["rules"][0]["scope"]) == ({}, {}, "*")
    assert hook["clientConfig"]["service"]["port"] == 443
    assert hook.get("reinvocationPolicy") == ("Never" if kind is mutating.KIND else None)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (configuration(name="short"), 'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots'),
        (configuration(sideEffects="Some"), 'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        (configuration(timeoutSeconds=31), "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"),
        (configuration(clientConfig={}), "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        (configuration(admissionReviewVersions=["v9"]), 'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1'),
        (configuration(matchConditions=[{"name": "a", "expression": "object.x =="}]), None),
        (rules(operations=["*", "CREATE"]), 'webhooks[0].rules[0].operations: Invalid value: ["*", "CREATE"]: if \'*\' is present, must not specify other operations'),
        (rules(operations=["PATCH"]), 'webhooks[0].rules[0].operations[0]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"'),
        (rules(resources=["*/*", "pods"]), 'webhooks[0].rules[0].resources: Invalid value: ["*/*", "pods"]: if \'*/*\' is present, must not specify other resources'),
        (rules(resources=["pods/*", "pods/log"]), "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log"),
        (rules(scope="Here"), 'webhooks[0].rules[0].scope: Unsupported value: "Here": supported values: "*", "Cluster", "Namespaced"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(complaints: Callable[[Kind, Json], list[str]], document: Json, said: str | None) -> None:
    found = complaints(validating.KIND, document)
    assert len(found) == 1
    assert found[0] == said if said else found[0].startswith("webhooks[0].matchConditions[0].expression: Invalid value")


def test_names_are_told_apart(complaints: Callable[[Kind, Json], list[str]]) -> None:
    hooks = configuration()["webhooks"] * 2
    assert complaints(mutating.KIND, {"webhooks": hooks}) == ['webhooks[1].name: Duplicate value: "one.example.com"']
