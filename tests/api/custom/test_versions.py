"""Several versions of one resource: stored in one, shown in each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.custom.conftest import DEFINITIONS, Json, World, definition, tab, version
from tests.support import webhook
from tests.support.webhook import Webhook

STORE = f"{DEFINITIONS}/crontabs.example.com"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def stored(world: World, name: str = "one") -> Json:
    return world.api.registry.cache.table("example.com/crontabs").get(name, "default").decode()  # type: ignore[union-attr]


def store_in(number: int) -> list[Json]:
    return [
        {"op": "replace", "path": f"/spec/versions/{index}/storage", "value": index == number} for index in range(2)
    ]


async def test_without_a_webhook_only_the_version_differs(world: World) -> None:
    await world.define(definition(version(), version("v2")))
    made = await world.create(tab(api_version="example.com/v2", replicas=2), version="v2")
    assert made["apiVersion"] == "example.com/v2"
    assert stored(world)["apiVersion"] == "example.com/v1"
    assert {**(await world.get()), "apiVersion": "example.com/v2"} == made


async def test_objects_move_to_another_storage_version_when_they_are_written(world: World) -> None:
    await world.define(definition(version(), version("v2")))
    await world.create(tab())
    found = await world.patch(STORE, store_in(1), "application/json-patch+json")
    assert found["status"]["storedVersions"] == ["v1", "v2"]
    assert stored(world)["apiVersion"] == "example.com/v1"
    await world.api.ask("PUT", world.path("one"), await world.get())
    assert stored(world)["apiVersion"] == "example.com/v2"


async def test_a_watch_shows_the_version_it_asked_for(world: World) -> None:
    await world.define(definition(version(), version("v2")))
    async with world.api.session() as session, session.get(world.path(version="v2") + "?watch=1") as answer:
        await world.create(tab())
        event = json.loads(await answer.content.readline())
        assert event["object"]["apiVersion"] == "example.com/v2"


def split_host(asked: Json) -> Json:
    """v1 has `hostPort: h:p`, v2 `host` and `port`."""
    request = asked["request"]
    return {
        "kind": asked["kind"],
        "apiVersion": asked["apiVersion"],
        "response": {
            "uid": request["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [converted(each, request["desiredAPIVersion"]) for each in request["objects"]],
        },
    }


def converted(found: Json, to: str) -> Json:
    found = {**found, "apiVersion": to}
    if to.endswith("v2"):
        found["host"], found["port"] = found.pop("hostPort").split(":")
    else:
        found["hostPort"] = f"{found.pop('host')}:{found.pop('port')}"
    return found


def two_versions(hook: Webhook) -> Json:
    conversion = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": hook.config("/convert"), "conversionReviewVersions": ["v1", "v1beta1"]},
    }
    return definition(version(schema=OPEN), version("v2", schema=OPEN), conversion=conversion)


def one(name: str = "one", **more: Any) -> Json:
    return {"apiVersion": "example.com/v1", "kind": "CronTab", "metadata": {"name": name}, **more}


async def test_a_webhook_converts_what_is_asked_for_in_another_version(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", split_host) as hook:
        await world.define(two_versions(hook))
        await world.create(one(hostPort="a:1"))
        assert hook.asked == []
        found = await world.get(version="v2")
        assert (found["host"], found["port"]) == ("a", "1")
        # Once for each state of an object.
        await world.get(version="v2")
        assert len(hook.asked) == 1
        made = await world.create({**one("two"), "apiVersion": "example.com/v2", "host": "b", "port": "2"}, "v2")
        assert (made["host"], stored(world, "two")["hostPort"]) == ("b", "b:2")


async def test_a_list_of_objects_in_both_versions_is_converted_in_one_question(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", split_host) as hook:
        await world.define(two_versions(hook))
        await world.create(one(hostPort="a:1"))
        await world.patch(STORE, store_in(1), "application/json-patch+json")
        await world.create(one("two", hostPort="b:2"))
        hook.asked.clear()
        _, listed = await world.api.ask("GET", world.path(version="v2"))
        assert [(each["host"], each["apiVersion"]) for each in listed["items"]] == [
            ("a", "example.com/v2"),
            ("b", "example.com/v2"),
        ]
        assert [len(asked["request"]["objects"]) for asked in hook.asked] == [1]


async def test_a_watch_converts_what_happens(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", split_host) as hook:
        await world.define(two_versions(hook))
        async with world.api.session() as session, session.get(world.path(version="v2") + "?watch=1") as answer:
            await world.create(one(hostPort="a:1"))
            event = json.loads(await asyncio.wait_for(answer.content.readline(), 5))
            assert event["object"]["host"] == "a"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"response": {"uid": "x"}}, "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got None, Kind=None"),
        (500, "the server answered 500: no"),
        (b"nonsense", "the answer is not JSON"),
    ],
)  # fmt: skip
async def test_a_webhook_that_fails_is_an_error_that_says_so(
    world: World, tmp_path: Path, answer: Any, said: str
) -> None:
    async with webhook.serving(tmp_path / "hook", lambda asked: answer) as hook:
        await world.define(two_versions(hook))
        await world.create(one(hostPort="a:1"))
        status, found = await world.api.ask("GET", world.path("one", "v2"))
        assert status == 500
        assert found["message"].startswith("conversion webhook for example.com/v1, Kind=CronTab failed: ")
        assert said in found["message"]


async def test_a_webhook_cannot_change_who_an_object_is(world: World, tmp_path: Path) -> None:
    def rename(asked: Json) -> Json:
        answer = split_host(asked)
        for found in answer["response"]["convertedObjects"]:
            found["metadata"] = {**found["metadata"], "finalizers": ["a/b"], "labels": {"a": "b"}}
        return answer

    async with webhook.serving(tmp_path / "hook", rename) as hook:
        await world.define(two_versions(hook))
        await world.create(one(hostPort="a:1"))
        found = await world.get(version="v2")
        assert "finalizers" not in found["metadata"]
        assert found["metadata"]["labels"] == {"a": "b"}
