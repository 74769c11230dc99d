"""What can be done with custom resources: everything that can be done with built-in ones, by their own schema."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.api.custom.conftest import World, definition, tab, version

SUBRESOURCES = {
    "status": {},
    "scale": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    },
}


async def test_unknown_fields_are_pruned_and_told(world: World) -> None:
    await world.define(definition())
    async with world.api.session() as session, session.post(world.path(), json=tab(extra=1)) as answer:
        assert answer.headers["Warning"] == '299 - "unknown field \\"spec.extra\\""'
        assert (await answer.json())["spec"] == {"replicas": 1}
    refused = await world.create(tab("two", extra=1), query="?fieldValidation=Strict", code=400)
    assert refused["message"] == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.extra"'
    )


async def test_a_wrong_type_and_a_broken_rule_are_both_told(world: World) -> None:
    await world.define(definition())
    refused = await world.create(tab(schedule=1, replicas=11), code=422)
    assert [each["field"] for each in refused["details"]["causes"]] == ["spec.schedule", "spec.replicas"]
    assert refused["message"] == (
        'CronTab.example.com "one" is invalid: [spec.schedule: Invalid value: "integer": spec.schedule in body must be of '
        'type string: "integer", spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10]'
    )


async def test_keys_of_a_list_that_is_a_map_occur_once(world: World) -> None:
    await world.define(definition())
    refused = await world.create(tab(ports=[{"name": "a"}, {"name": "a", "port": 2}]), code=422)
    assert refused["message"].endswith('spec.ports[1]: Duplicate value: {"name": "a"}')


async def test_nulls_with_a_default_take_it_and_others_are_refused(world: World) -> None:
    await world.define(definition())
    assert (await world.create(tab(replicas=None)))["spec"] == {"replicas": 1}
    await world.create(tab("two", schedule=None), code=422)


async def test_defaults_that_came_later_show_when_read_and_are_stored_with_the_next_write(world: World) -> None:
    plain = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    await world.define(definition(version(schema=plain)))
    await world.create({**tab(), "spec": {}})
    revision = (await world.get())["metadata"]["resourceVersion"]
    where = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a/default"
    add = [{"op": "add", "path": where, "value": "A"}]
    await world.patch(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.example.com",
        add,
        "application/json-patch+json",
    )
    found = await world.get()
    assert (found["spec"], found["metadata"]["resourceVersion"]) == ({"a": "A"}, revision)
    _, listed = await world.api.ask("GET", world.path())
    assert [item["spec"] for item in listed["items"]] == [{"a": "A"}]
    _, written = await world.api.ask("PUT", world.path("one"), found)
    assert written["metadata"]["resourceVersion"] != revision


async def test_status_and_spec_are_written_apart_and_generation_counts_the_spec(world: World) -> None:
    await world.define(definition(version(subresources=SUBRESOURCES)))
    made = await world.create({**tab(), "status": {"replicas": 7}})
    assert "status" not in made
    changed = await world.patch(world.path("one") + "/status", {"status": {"replicas": 2}, "spec": {"replicas": 9}})
    assert (changed["spec"]["replicas"], changed["status"]["replicas"]) == (1, 2)
    assert changed["metadata"]["generation"] == 1
    changed = await world.patch(world.path("one"), {"status": {"replicas": 5}, "spec": {"replicas": 4}})
    assert (changed["spec"]["replicas"], changed["status"]["replicas"]) == (4, 2)
    assert changed["metadata"]["generation"] == 2


async def test_without_the_subresource_status_is_a_field_like_any_other(world: World) -> None:
    await world.define(definition())
    made = await world.create({**tab(), "status": {"replicas": 7}})
    assert made["status"] == {"replicas": 7}
    changed = await world.patch(world.path("one"), {"status": {"replicas": 8}})
    assert (changed["status"]["replicas"], changed["metadata"]["generation"]) == (8, 2)
    assert (await world.api.ask("GET", world.path("one") + "/status"))[0] == 404


async def test_they_scale(world: World) -> None:
    await world.define(definition(version(subresources=SUBRESOURCES)))
    await world.create(tab())
    await world.patch(world.path("one") + "/status", {"status": {"replicas": 2, "selector": "app=one"}})
    _, scale = await world.api.ask("GET", world.path("one") + "/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 2, "selector": "app=one"})
    await world.patch(world.path("one") + "/scale", {"spec": {"replicas": 5}})
    assert (await world.get())["spec"]["replicas"] == 5


async def test_a_strategic_merge_patch_is_refused(world: World) -> None:
    await world.define(definition())
    await world.create(tab())
    await world.patch(world.path("one"), {}, "application/strategic-merge-patch+json", code=415)


async def test_apply_merges_lists_by_key_and_keeps_the_books(world: World) -> None:
    await world.define(definition())
    path = world.path("one") + "?fieldManager="
    media = "application/apply-patch+yaml"
    first = tab(ports=[{"name": "a", "port": 1}])
    await world.patch(path + "anna", first, media, code=201)
    found = await world.patch(path + "ben", tab(ports=[{"name": "b", "port": 2}]), media)
    assert [each["name"] for each in found["spec"]["ports"]] == ["a", "b"]
    refused = await world.patch(
        path + "ben", tab(ports=[{"name": "a", "port": 3}, {"name": "b", "port": 2}]), media, code=409
    )
    assert refused["details"]["causes"][0]["field"] == '.spec.ports[name="a"].port'
    found = await world.patch(path + "anna", tab(), media)
    assert [each["name"] for each in found["spec"]["ports"]] == ["b"]


async def test_tables_have_the_columns_of_the_definition(world: World) -> None:
    columns = [
        {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
        {"name": "N", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1, "description": "How many."},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await world.define(definition(version(additionalPrinterColumns=columns)))
    await world.create(tab(schedule="* *"))
    await world.create(tab("two"))
    headers = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    _, table = await world.api.ask("GET", world.path(), headers=headers)
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Schedule", "N", "Age"]
    assert table["columnDefinitions"][2]["priority"] == 1
    assert [row["cells"][:3] for row in table["rows"]] == [["one", "* *", 1], ["two", None, 1]]


async def test_fields_of_the_definition_can_be_selected_by(world: World) -> None:
    fields = {"selectableFields": [{"jsonPath": ".spec.schedule"}, {"jsonPath": ".spec.replicas"}]}
    await world.define(definition(version(**fields)))
    await world.create(tab(schedule="daily"))
    await world.create(tab("two", schedule="weekly", replicas=2))
    _, found = await world.api.ask("GET", world.path() + "?fieldSelector=spec.schedule%3Ddaily")
    assert [each["metadata"]["name"] for each in found["items"]] == ["one"]
    _, found = await world.api.ask("GET", world.path() + "?fieldSelector=spec.replicas%3D2")
    assert [each["metadata"]["name"] for each in found["items"]] == ["two"]
    assert (await world.api.ask("GET", world.path() + "?fieldSelector=spec.x%3D2"))[0] == 400


async def test_a_watch_tells_what_happens_to_them_and_ends_with_their_definition(world: World) -> None:
    await world.define(definition())
    await world.create(tab())
    async with world.api.session() as session, session.get(world.path() + "?watch=1") as answer:
        lines = answer.content
        assert json.loads(await lines.readline())["object"]["metadata"]["name"] == "one"
        await world.patch(world.path("one"), {"spec": {"replicas": 2}})
        event = json.loads(await lines.readline())
        assert (event["type"], event["object"]["spec"]["replicas"]) == ("MODIFIED", 2)
        await world.api.ask("DELETE", world.path("one"))
        assert json.loads(await lines.readline())["type"] == "DELETED"
        await world.api.ask("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.example.com")
        assert await asyncio.wait_for(lines.readline(), 10) == b""


async def test_what_is_embedded_has_to_be_an_object_of_some_kind(world: World) -> None:
    inner = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    openapi = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"inner": inner}}}}
    await world.define(definition(version(schema=openapi)))
    refused = await world.create(tab(inner={"apiVersion": "v1", "metadata": {"labels": {"a b": "c"}}}), code=422)
    assert [each["field"] for each in refused["details"]["causes"]] == ["spec.inner.kind", "spec.inner.metadata.labels"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "unknown": 1}, "whatever": 2}
    made = await world.create(tab(inner=pod))
    assert made["spec"]["inner"] == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "whatever": 2}


async def test_names_can_be_restricted_by_the_schema(world: World) -> None:
    name = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}}
    openapi = {"type": "object", "properties": {"metadata": name, "spec": {"type": "object"}}}
    await world.define(definition(version(schema=openapi)))
    refused = await world.create(tab("long-name"), code=422)
    assert refused["message"].endswith("metadata.name: Too long: may not be more than 3 bytes")
    await world.create(tab("abc"))


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
async def test_scope_is_what_the_definition_says(world: World, scope: str) -> None:
    await world.define(definition(scope=scope))
    base = "/apis/example.com/v1/crontabs"
    expected = (404, 201) if scope == "Namespaced" else (201, 404)
    assert (await world.api.ask("POST", base, tab()))[0] == expected[0]
    assert (await world.api.ask("POST", world.path(), tab("two")))[0] == expected[1]
    assert (await world.api.ask("GET", base))[0] == 200
