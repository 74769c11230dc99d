"""Policies refuse, warn and note down; what they see, and with which parameters."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.custom.conftest import World, definition, tab, version
from tests.api.policies.conftest import apply
from tests.api.webhooks.conftest import MAPS, config_map, rule


def valid(expression: str, **more: Any) -> dict[str, Any]:
    return {"validations": [{"expression": expression, **more}]}


async def create(world: World, **data: str) -> tuple[int, Any]:
    return await world.api.ask("POST", MAPS, config_map(**data))


async def test_what_breaks_a_policy_is_refused_with_the_expression(world: World) -> None:
    await apply(world, **valid("object.data.a != '1'"))
    status, found = await create(world, a="1")
    assert (status, found["reason"]) == (422, "Invalid")
    assert found["message"] == (
        "configmaps \"one\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'pb' denied request: "
        "failed expression: object.data.a != '1'"
    )
    assert (await create(world, a="2"))[0] == 201


async def test_the_author_of_a_policy_chooses_message_and_reason(world: World) -> None:
    await apply(
        world, **valid("false", messageExpression="'not ' + object.metadata.name", message="no", reason="Forbidden")
    )
    status, found = await create(world)
    assert (status, found["reason"]) == (403, "Forbidden")
    assert found["message"].endswith("denied request: not one")


async def test_the_plain_message_stands_in_for_an_expression_that_fails(world: World) -> None:
    await apply(world, **valid("false", messageExpression="object.nothing", message="no"))
    assert (await create(world))[1]["message"].endswith("denied request: no")


@pytest.mark.parametrize(("policy", "expected"), [("Fail", 422), ("Ignore", 201)])
async def test_an_expression_that_fails_refuses_unless_failures_are_ignored(
    world: World, policy: str, expected: int
) -> None:
    await apply(world, **valid("object.nothing == 1"), failurePolicy=policy)
    status, found = await create(world)
    assert status == expected
    if status == 422:
        assert "expression 'object.nothing == 1' resulted in error: no such key: nothing" in found["message"]


async def test_a_policy_without_a_binding_does_nothing(world: World) -> None:
    await apply(world, **valid("false"), bound={"policyName": "another"})
    assert (await create(world))[0] == 201


async def test_a_policy_taken_away_refuses_no_more(world: World) -> None:
    await apply(world, **valid("false"))
    assert (await create(world))[0] == 422
    await world.api.ask("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/pb")
    assert (await create(world))[0] == 201


async def test_a_binding_narrows_where_a_policy_counts(world: World) -> None:
    await apply(world, **valid("false"), bound={"matchResources": {"objectSelector": {"matchLabels": {"x": "y"}}}})
    assert (await create(world))[0] == 201
    assert (await world.api.ask("POST", MAPS, config_map("two", {"x": "y"})))[0] == 422


async def test_conditions_keep_a_policy_from_being_evaluated(world: World) -> None:
    condition = {"name": "big", "expression": "size(object.data) > 1"}
    await apply(world, **valid("false"), matchConditions=[condition])
    assert (await create(world, a="1"))[0] == 201
    assert (await world.api.ask("POST", MAPS, config_map("two", a="1", b="2")))[0] == 422


async def test_expressions_see_the_old_object_the_request_and_the_namespace(world: World) -> None:
    seen = (
        "request.operation == 'CREATE' && oldObject == null && request.userInfo.username == 'admin' && "
        "namespaceObject.metadata.name == 'default' && authorizer.requestResource.check('delete').allowed()"
    )
    await apply(world, **valid(f"request.operation == 'UPDATE' ? oldObject.data.a < object.data.a : {seen}"))
    status, found = await create(world, a="2")
    assert status == 201, found
    refused = await world.patch(f"{MAPS}/one", {"data": {"a": "1"}}, code=422)
    assert "oldObject.data.a < object.data.a" in refused["message"]
    await world.patch(f"{MAPS}/one", {"data": {"a": "3"}})


async def test_deletions_are_judged_by_what_was_there(world: World) -> None:
    await apply(world, **valid("request.operation != 'DELETE' || oldObject.data.keep != 'yes'"))
    await create(world, keep="yes")
    assert (await world.api.ask("DELETE", f"{MAPS}/one"))[0] == 422


async def test_variables_are_built_of_each_other_and_fail_only_those_who_look(world: World) -> None:
    given = {"a": "int(object.data.a)", "b": "variables.a + 1", "c": "object.nothing", "d": "variables.d"}
    variables = [{"name": name, "expression": expression} for name, expression in given.items()]
    await apply(world, **valid("variables.b == 2 || variables.c == 1 || variables.d == 1"), variables=variables)
    assert (await create(world, a="1"))[0] == 201
    status, found = await world.api.ask("POST", MAPS, config_map("two", a="2"))
    assert status == 422
    assert "composited variable 'c' fails to evaluate: no such key: nothing" in found["message"]


async def test_warnings_tell_instead_of_refusing(world: World) -> None:
    await apply(world, **valid("false", message="better not"), bound={"validationActions": ["Warn", "Audit"]})
    async with world.api.session() as session, session.post(MAPS, json=config_map()) as answer:
        assert answer.status == 201
        said = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'pb': better not"
        assert said in answer.headers["Warning"]


async def test_a_policy_is_evaluated_once_with_every_object_that_parameterizes_it(world: World) -> None:
    for name, most in (("low", "1"), ("high", "5")):
        await world.api.ask("POST", MAPS, config_map(name, {"limits": "yes"}, most=most))
    reference = {"selector": {"matchLabels": {"limits": "yes"}}, "parameterNotFoundAction": "Deny"}
    await apply(
        world,
        **valid("int(object.data.n) <= int(params.data.most)", messageExpression="'more than ' + params.data.most"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        bound={"paramRef": reference},
    )
    assert (await create(world, n="1"))[0] == 201
    status, found = await world.api.ask("POST", MAPS, config_map("two", n="3"))
    assert status == 422
    assert found["message"].endswith("more than 1")


@pytest.mark.parametrize(("action", "expected"), [("Deny", 422), ("Allow", 201)])
async def test_parameters_that_are_not_there_refuse_or_switch_a_binding_off(
    world: World, action: str, expected: int
) -> None:
    reference = {"name": "absent", "parameterNotFoundAction": action}
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    await apply(world, **valid("false"), paramKind=kind, bound={"paramRef": reference})
    status, found = await create(world)
    assert status == expected
    if status == 422:
        assert "no params found for policy binding with `Deny` parameterNotFoundAction" in found["message"]


async def test_custom_resources_are_judged_in_the_version_of_the_rule(world: World) -> None:
    await world.define(definition(version("v1"), version("v2")))
    about = rule("CREATE", groups=("example.com",), resources=("crontabs",))
    await apply(world, **valid("object.apiVersion == 'example.com/v1' && object.spec.replicas < 5"), rules=[about])
    path = "/apis/example.com/v2/namespaces/default/crontabs"
    assert (await world.api.ask("POST", path, tab(api_version="example.com/v2", replicas=2)))[0] == 201
    assert (await world.api.ask("POST", path, tab("two", "example.com/v2", replicas=7)))[0] == 422


async def test_policies_never_stand_between_an_administrator_and_policies(world: World) -> None:
    about = rule("*", groups=("*",), resources=("*",))
    await apply(world, **valid("false"), rules=[about])
    assert (await create(world))[0] == 422
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/p"
    assert (await world.api.ask("DELETE", path))[0] == 200


async def test_an_annotation_is_noted_and_one_that_fails_refuses(world: World) -> None:
    await apply(world, auditAnnotations=[{"key": "who", "valueExpression": "object.data.who"}])
    assert (await create(world, who="me"))[0] == 201
    status, found = await world.api.ask("POST", MAPS, config_map("two"))
    assert status == 422
    assert "expression 'object.data.who' resulted in error" in found["message"]
