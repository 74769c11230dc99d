"""What may stand in admission policies and their bindings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import mutatingadmissionpolicy as mutating
from motet.kinds import mutatingadmissionpolicybinding as mutatingbinding
from motet.kinds import validatingadmissionpolicy as validating
from motet.kinds import validatingadmissionpolicybinding as validatingbinding
from motet.kinds.kind import Kind

Json = dict[str, Any]
ABOUT = {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]}


def policy(**spec: Any) -> Json:
    return {"spec": {"matchConstraints": ABOUT, "validations": [{"expression": "true"}], **spec}}


def mutation(**found: Any) -> Json:
    one = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}, **found}
    return {"spec": {"matchConstraints": ABOUT, "mutations": [one], "reinvocationPolicy": "Never"}}


def binding(**spec: Any) -> Json:
    return {"spec": {"policyName": "p", "validationActions": ["Deny"], **spec}}


def test_what_is_left_out_is_filled_in(created: Callable[[Kind, Json], Json]) -> None:
    spec = created(validating.KIND, policy())["spec"]
    assert spec["failurePolicy"] == "Fail"
    about = spec["matchConstraints"]
    assert (about["matchPolicy"], about["namespaceSelector"], about["objectSelector"]) == ("Equivalent", {}, {})
    assert about["resourceRules"][0]["scope"] == "*"


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (validating.KIND, policy()),
        (validating.KIND, policy(variables=[{"name": "a", "expression": "object.x"}])),
        (mutating.KIND, mutation()),
        (
            mutating.KIND,
            mutation(jsonPatch=None, patchType="ApplyConfiguration", applyConfiguration={"expression": "Object{}"}),
        ),
        (validatingbinding.KIND, binding(paramRef={"name": "a", "parameterNotFoundAction": "Deny"})),
        (mutatingbinding.KIND, {"spec": {"policyName": "p"}}),
    ],
)
def test_what_is_well_formed_is_taken(
    complaints: Callable[[Kind, Json], list[str]], kind: Kind, document: Json
) -> None:
    assert complaints(kind, document) == []


@pytest.mark.parametrize(
    ("kind", "document", "complaint"),
    [
        (validating.KIND, policy(matchConstraints={}), "spec.matchConstraints.resourceRules: Required value"),
        (validating.KIND, policy(validations=[]), "validations or auditAnnotations must contain at least one item"),
        (validating.KIND, policy(validations=[{"expression": "object."}]), "spec.validations[0].expression: Invalid value"),
        (validating.KIND, policy(validations=[{"expression": "nobody"}]), "undeclared reference to 'nobody'"),
        (validating.KIND, policy(validations=[{"expression": "true", "reason": "Because"}]), "validations[0].reason: Unsupported"),
        (validating.KIND, policy(variables=[{"name": "a-b", "expression": "1"}]), "name is not a valid CEL identifier"),
        (validating.KIND, policy(variables=[{"name": "a", "expression": "1"}] * 2), "spec.variables[1].name: Duplicate value"),
        (validating.KIND, policy(paramKind={"apiVersion": "v1"}), "spec.paramKind.kind: Required value"),
        (validating.KIND, policy(auditAnnotations=[{"key": "a b", "valueExpression": "''"}]), "auditAnnotations[0].key"),
        (validating.KIND, policy(matchConditions=[{"name": "c", "expression": "variables.a"}]), "undeclared reference"),
        (mutating.KIND, mutation(patchType="Merge"), "spec.mutations[0].patchType: Unsupported value"),
        (mutating.KIND, mutation(patchType="ApplyConfiguration"), "applyConfiguration: Required value"),
        (mutating.KIND, mutation(applyConfiguration={"expression": "Object{}"}), "applyConfiguration: Forbidden"),
        (validatingbinding.KIND, binding(validationActions=[]), "at least one validation action is required"),
        (validatingbinding.KIND, binding(validationActions=["Deny", "Warn"]), "must not contain both Deny and Warn"),
        (validatingbinding.KIND, binding(paramRef={"parameterNotFoundAction": "Deny"}), "one of name or selector must be"),
        (validatingbinding.KIND, binding(paramRef={"name": "a"}), "parameterNotFoundAction: Required value"),
        (mutatingbinding.KIND, {"spec": {}}, "spec.policyName: Required value"),
    ],
)  # fmt: skip
def test_what_is_not_is_complained_about(
    complaints: Callable[[Kind, Json], list[str]], kind: Kind, document: Json, complaint: str
) -> None:
    assert any(complaint in each for each in complaints(kind, document)), complaints(kind, document)
