"""Policies change what is written."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.custom.conftest import World
from tests.api.policies.conftest import apply
from tests.api.webhooks.conftest import MAPS, config_map, rule

PODS = "/api/v1/namespaces/default/pods"


def merging(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patching(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def create(world: World, path: str = MAPS, document: Any = None) -> tuple[int, Any]:
    if path == PODS:
        await world.api.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        document = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return await world.api.ask("POST", path, document or config_map(a="1"))


async def test_a_configuration_is_merged_into_what_is_written(world: World) -> None:
    made = 'Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: "more", image: "x"}]}}'
    about = [rule("CREATE", resources=("pods",))]
    await apply(world, "Mutating", rules=about, mutations=[merging(made)], reinvocationPolicy="Never")
    status, found = await create(world, PODS)
    assert status == 201, found
    [init] = found["spec"]["initContainers"]
    assert (init["name"], init["terminationMessagePolicy"]) == ("more", "File")
    assert found["spec"]["containers"][0]["name"] == "c"


async def test_each_mutation_sees_what_those_before_it_changed(world: World) -> None:
    first = patching('[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("b/c"), value: "2"}]')
    second = merging('Object{data: {"b": object.metadata.labels["b/c"]}}')
    await apply(world, "Mutating", mutations=[first, second])
    assert (await create(world))[1]["data"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (merging('Object{metadata: Object.metadata{name: "x"}}'), "metadata.name may not be set"),
        (merging('Object{kind: "Secret"}'), "apiVersion and kind may not be set"),
        (patching('[JSONPatch{op: "test", path: "/data/a", value: "2"}]'), "test"),
        (patching("object.data"), "must give a list"),
        (merging("object.nothing"), "no such key: nothing"),
    ],
)
async def test_what_cannot_be_carried_out_refuses(world: World, mutation: dict[str, Any], why: str) -> None:
    await apply(world, "Mutating", mutations=[mutation])
    status, found = await create(world)
    assert status == 422
    assert "policy 'p' with binding 'pb' denied request" in found["message"]
    assert why in found["message"]


async def test_lists_that_are_replaced_as_a_whole_are_left_alone(world: World) -> None:
    made = 'Object{spec: Object.spec{containers: [Object.spec.containers{name: "c", args: ["x"]}]}}'
    await apply(world, "Mutating", rules=[rule("CREATE", resources=("pods",))], mutations=[merging(made)])
    status, found = await create(world, PODS)
    assert status == 422
    assert "may not mutate atomic arrays, maps or structs: spec.containers[0].args" in found["message"]


async def test_a_policy_that_fails_changes_nothing_when_failures_are_ignored(world: World) -> None:
    mutations = [merging('Object{data: {"b": "2"}}'), merging("object.nothing")]
    await apply(world, "Mutating", mutations=mutations, failurePolicy="Ignore")
    assert (await create(world))[1]["data"] == {"a": "1"}


async def test_a_policy_is_asked_again_when_another_changed_the_object_after_it(world: World) -> None:
    for name, key in (("p", "size"), ("q", "more")):
        made = merging(f'Object{{data: {{"{key}": string(size(object.data))}}}}')
        await apply(
            world, "Mutating", name=name, mutations=[made], reinvocationPolicy="IfNeeded" if name == "p" else "Never"
        )
    assert (await create(world))[1]["data"] == {"a": "1", "size": "3", "more": "2"}
