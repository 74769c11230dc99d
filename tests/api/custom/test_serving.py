"""Custom resources come and go with their definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.api.custom.conftest import DEFINITIONS, Json, World, definition, tab, version

from motet.api.custom.serving import CustomKinds
from motet.api.webhooks.client import WebhookClient
from motet.kinds.catalogue import Catalogue


async def test_a_definition_is_established_and_its_objects_can_be_made_at_once(world: World) -> None:
    found = await world.define(definition())
    assert found["status"]["acceptedNames"]["listKind"] == "CronTabList"
    assert found["status"]["storedVersions"] == ["v1"]
    made = await world.create(tab(schedule="* *"))
    assert made["spec"] == {"schedule": "* *", "replicas": 1}
    assert made["metadata"]["generation"] == 1
    assert await world.get() == made


async def test_a_definition_without_conditions_serves_nothing(world: World) -> None:
    status, _ = await world.api.ask("GET", world.path())
    assert status == 404


async def test_it_shows_in_discovery_and_in_openapi_and_goes_from_both(world: World) -> None:
    await world.define(definition(version(subresources={"status": {}})))
    _, found = await world.api.ask("GET", "/apis/example.com/v1")
    assert [each["name"] for each in found["resources"]] == ["crontabs", "crontabs/status"]
    assert found["resources"][0]["shortNames"] == ["ct"]
    _, openapi = await world.api.ask("GET", "/openapi/v2")
    assert "com.example.v1.CronTab" in openapi["definitions"]
    await world.api.ask("DELETE", f"{DEFINITIONS}/crontabs.example.com")
    await gone(world)
    status, _ = await world.api.ask("GET", "/apis/example.com/v1")
    assert status == 404
    _, openapi = await world.api.ask("GET", "/openapi/v2")
    assert "com.example.v1.CronTab" not in openapi["definitions"]


async def test_deleting_a_definition_deletes_its_objects_first(world: World) -> None:
    await world.define(definition())
    await world.create(tab())
    held = tab("held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    await world.create(held)
    await world.api.ask("DELETE", f"{DEFINITIONS}/crontabs.example.com")
    await world.until("crontabs.example.com", "Terminating", "True")
    await until(world, lambda found: found["metadata"].get("deletionTimestamp"))
    refused = await world.create(tab("late"), code=405)
    assert refused["message"] == "create not allowed while custom resource definition is terminating"
    await world.patch(world.path("held"), {"metadata": {"finalizers": None}})
    await gone(world)
    assert (await world.api.ask("GET", world.path()))[0] == 404


async def test_a_definition_made_again_has_none_of_the_old_objects(world: World) -> None:
    await world.define(definition())
    await world.create(tab())
    await world.api.ask("DELETE", f"{DEFINITIONS}/crontabs.example.com")
    await gone(world)
    await world.define(definition())
    _, found = await world.api.ask("GET", world.path())
    assert found["items"] == []
    assert (found["kind"], found["apiVersion"]) == ("CronTabList", "example.com/v1")


async def test_names_of_another_definition_are_refused_until_they_are_free(world: World) -> None:
    await world.define(definition())
    second = definition(plural="crons", kind="CronTab")
    await world.api.ask("POST", DEFINITIONS, second)
    found = await world.until("crons.example.com", "NamesAccepted", "False")
    [accepted] = [each for each in found["status"]["conditions"] if each["type"] == "NamesAccepted"]
    assert (accepted["reason"], accepted["message"]) == ("ListKindConflict", '"CronTabList" is already in use')
    await world.api.ask("DELETE", f"{DEFINITIONS}/crontabs.example.com")
    await world.established("crons.example.com")


async def test_a_name_of_a_built_in_kind_is_refused(world: World) -> None:
    own = definition(plural="apps", kind="App", group="motet.dev")
    await world.api.ask("POST", DEFINITIONS, own)
    await world.until("apps.motet.dev", "NamesAccepted", "False")


async def test_another_schema_counts_as_soon_as_it_is_written(world: World) -> None:
    await world.define(definition())
    await world.create(tab(replicas=3))
    path = f"{DEFINITIONS}/crontabs.example.com"
    smaller = [
        {
            "op": "replace",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/maximum",
            "value": 2,
        }
    ]
    await world.patch(path, smaller, "application/json-patch+json")
    refused = await world.create(tab("two", replicas=3), code=422)
    assert refused["message"].endswith("spec.replicas in body should be less than or equal to 2")


async def test_what_was_wrong_before_may_stay_as_it_is(world: World) -> None:
    """Ratcheting: a stricter schema does not stop changes of what is unrelated."""
    await world.define(definition())
    await world.create(tab(replicas=3))
    path = f"{DEFINITIONS}/crontabs.example.com"
    smaller = [
        {
            "op": "replace",
            "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/maximum",
            "value": 2,
        }
    ]
    await world.patch(path, smaller, "application/json-patch+json")
    assert (await world.patch(world.path("one"), {"spec": {"schedule": "x"}}))["spec"]["schedule"] == "x"
    await world.patch(world.path("one"), {"spec": {"replicas": 4}}, code=422)


async def test_an_unserved_version_is_not_there(world: World) -> None:
    await world.define(definition(version(), version("v2")))
    await world.create(tab())
    assert (await world.get(version="v2"))["apiVersion"] == "example.com/v2"
    stop = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    await world.patch(f"{DEFINITIONS}/crontabs.example.com", stop, "application/json-patch+json")
    assert (await world.api.ask("GET", world.path("one", "v2")))[0] == 404
    assert (await world.get())["apiVersion"] == "example.com/v1"


async def test_instances_go_even_if_no_version_is_served_any_more(world: World) -> None:
    await world.define(definition())
    await world.create(tab())
    stop = [{"op": "replace", "path": "/spec/versions/0/served", "value": False}]
    await world.patch(f"{DEFINITIONS}/crontabs.example.com", stop, "application/json-patch+json")
    await world.api.ask("DELETE", f"{DEFINITIONS}/crontabs.example.com")
    await gone(world)
    await world.define(definition())
    assert (await world.api.ask("GET", world.path()))[1]["items"] == []


async def test_a_deprecated_version_says_so(world: World) -> None:
    old = version("v1beta1", deprecated=True)
    await world.define(definition(version(), old))
    async with world.api.session() as session, session.get(world.path(version="v1beta1")) as answer:
        assert answer.headers.getall("Warning") == ['299 - "example.com/v1beta1 CronTab is deprecated"']
    async with world.api.session() as session, session.get(world.path()) as answer:
        assert "Warning" not in answer.headers


async def test_they_are_served_again_after_a_restart(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    await world.define(definition())
    await world.create(tab())
    again = CustomKinds(world.api.registry, WebhookClient(world.api.registry.cache.table))
    fresh = Catalogue()
    world.api.registry.catalogue = again._catalogue = fresh
    await again.start()
    assert fresh.by_path("example.com", "v1", "crontabs") is not None
    await again.stop()


async def gone(world: World) -> None:
    async with asyncio.timeout(10):
        while (await world.api.ask("GET", f"{DEFINITIONS}/crontabs.example.com"))[0] != 404:
            await asyncio.sleep(0.02)


async def until(world: World, holds: Callable[[Json], Any]) -> None:
    async with asyncio.timeout(10):
        while not holds((await world.api.ask("GET", world.path("held")))[1]):
            await asyncio.sleep(0.02)
