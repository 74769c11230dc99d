"""Policies are checked against the types they are about."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import world

from motet.controllers.admissionpolicies import AdmissionPolicyChecks, status, warnings
from motet.kinds import validatingadmissionpolicy
from motet.kinds.catalogue import Catalogue

Json = dict[str, Any]
DEPLOYMENTS = {
    "operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "scope": "*"
}  # fmt: skip


def policy(expression: str, rule: Json = DEPLOYMENTS, **spec: Any) -> Json:
    return {
        "metadata": {"name": "p", "generation": 3},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression}],
            **spec,
        },
    }


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.replicas > 1",
        "object.spec.template.spec.containers.all(c, c.image.startsWith('x/'))",
        "object.metadata.labels['a'] == 'b' && has(oldObject.status.replicas)",
        "oldObject == null || request.userInfo.username == variables.x && params.whatever == 1",
        "authorizer.requestResource.check('get').allowed() && namespaceObject.metadata.name != ''",
    ],
)
def test_sound_expressions_leave_nothing_to_say(expression: str) -> None:
    assert warnings(policy(expression), Catalogue()) == []


def test_a_mistake_is_told_with_its_place_and_type() -> None:
    [found] = warnings(policy("object.spec.replica > 1"), Catalogue())
    assert found["fieldRef"] == "spec.validations[0].expression"
    assert found["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:")
    assert "undefined field 'replica'" in found["warning"]


def test_only_what_is_named_is_looked_at() -> None:
    assert warnings(policy("object.nothing", {**DEPLOYMENTS, "resources": ["*"]}), Catalogue()) == []


def test_parameters_have_their_type_too() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    [found] = warnings(policy("params.dada.a == 'x'", paramKind=kind), Catalogue())
    assert "undefined field 'dada'" in found["warning"]


def test_what_was_checked_is_the_generation_of_the_policy() -> None:
    assert status(policy("true"), Catalogue()) == {"observedGeneration": 3, "typeChecking": {}}


async def test_a_policy_gets_its_status_again_when_it_changes(tmp_path: Path) -> None:
    kind = validatingadmissionpolicy.KIND
    async with world(tmp_path) as made:
        loop = asyncio.create_task(AdmissionPolicyChecks(made.client, made.clock, made.registry.catalogue).run())
        found = await made.client.create(kind, policy("object.spec.replica > 1"))
        for expression, number in (("object.spec.replicas > 1", 0), ("object.spec.replica > 1", 1)):
            found = (await made.client.get(kind, "p")).decode()
            found["spec"]["validations"][0]["expression"] = expression
            await made.client.update(kind, found)
            await _until(made, number)
        loop.cancel()


async def _until(made: Any, number: int) -> None:
    async with asyncio.timeout(10):
        while True:
            found = (await made.client.get(validatingadmissionpolicy.KIND, "p")).decode()
            status = found.get("status", {})
            if status.get("observedGeneration") == found["metadata"]["generation"]:
                assert len(status["typeChecking"].get("expressionWarnings", [])) == number
                return
            await asyncio.sleep(0.01)
