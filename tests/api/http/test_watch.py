"""Watches, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.api.http.conftest import Api

from motet.api.http import watch, watchstreams
from motet.api.options import PatchType
from motet.api.users import CONTROLLERS
from motet.kinds import configmap

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


class Lines:
    """Events of one watch."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> dict[str, Any]:
        line = await asyncio.wait_for(self.answer.content.readline(), 5)
        assert line, "the watch has ended"
        return json.loads(line)  # type: ignore[no-any-return]

    async def take(self, number: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(number)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.answer.content.readline(), 5) == b""


@contextlib.asynccontextmanager
async def watching(api: Api, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Lines]:
    async with api.session() as session, session.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield Lines(answer)


async def create(api: Api, name: str, **labels: str) -> dict[str, Any]:
    code, made = await api.ask("POST", CONFIGMAPS, {"metadata": {"name": name, "labels": labels}})
    assert code == 201
    return made  # type: ignore[no-any-return]


async def test_a_watch_from_nowhere_begins_with_what_is_there(api: Api) -> None:
    await create(api, "a")
    async with watching(api, f"{CONFIGMAPS}?watch=1") as lines:
        assert await lines.take(1) == [("ADDED", "a")]
        await create(api, "b")
        await api.ask("DELETE", f"{CONFIGMAPS}/a")
        assert await lines.take(2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_a_watch_from_a_revision_sends_what_came_after(api: Api) -> None:
    first = await create(api, "a")
    await create(api, "b")
    path = f"{CONFIGMAPS}?watch=true&resourceVersion={first['metadata']['resourceVersion']}"
    async with watching(api, path) as lines:
        assert await lines.take(1) == [("ADDED", "b")]


async def test_one_name_can_be_watched(api: Api) -> None:
    await create(api, "a")
    for path in (f"{CONFIGMAPS}/b?watch=1", f"{CONFIGMAPS}?watch=1&fieldSelector=metadata.name%3Db"):
        async with watching(api, path) as lines:
            await create(api, "b")
            assert await lines.take(1) == [("ADDED", "b")]
        await api.ask("DELETE", f"{CONFIGMAPS}/b")


async def test_the_old_watch_prefix_works(api: Api) -> None:
    await create(api, "a")
    async with watching(api, "/api/v1/watch/namespaces/default/configmaps") as lines:
        assert await lines.take(1) == [("ADDED", "a")]


async def test_an_object_that_leaves_the_selection_is_deleted_from_it(api: Api) -> None:
    await create(api, "a", app="x")
    async with watching(api, f"{CONFIGMAPS}?watch=1&labelSelector=app%3Dx") as lines:
        assert await lines.take(1) == [("ADDED", "a")]
        headers = {"Content-Type": "application/merge-patch+json"}
        await api.ask("PATCH", f"{CONFIGMAPS}/a", {"metadata": {"labels": {"app": "y"}}}, headers=headers)
        assert await lines.take(1) == [("DELETED", "a")]


async def test_initial_events_end_with_an_annotated_bookmark(api: Api) -> None:
    await create(api, "a")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with watching(api, f"{CONFIGMAPS}?{query}") as lines:
        assert await lines.take(1) == [("ADDED", "a")]
        event = await lines.next()
        assert event["type"] == "BOOKMARK"
        assert event["object"]["kind"] == "ConfigMap"
        assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(event["object"]["metadata"]["resourceVersion"]) > 0


async def test_a_watch_ends_in_time_with_a_last_bookmark(api: Api) -> None:
    path = f"{CONFIGMAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1"
    async with watching(api, path) as lines:
        await create(api, "a")
        assert await lines.take(1) == [("ADDED", "a")]
        event = await lines.next()
        assert event["type"] == "BOOKMARK"
        assert await lines.ended()


async def test_bookmarks_tell_how_far_everything_was_sent(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_BOOKMARK_EVERY", 0.02)
    async with watching(api, f"{CONFIGMAPS}?watch=1&allowWatchBookmarks=true") as lines:
        # Somebody else's object moves the revision on.
        _, made = await api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
        while True:
            event = await lines.next()
            assert event["type"] == "BOOKMARK"
            if event["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]:
                break


async def test_a_watch_from_a_forgotten_revision_is_told_so(api: Api) -> None:
    for number in range(3):
        await create(api, f"c{number}")
    await api.registry.store.compact(api.registry.store.revision)
    _, listed = await api.ask("GET", CONFIGMAPS)
    async with watching(api, f"{CONFIGMAPS}?watch=1&resourceVersion=1") as lines:
        event = await lines.next()
        if event["type"] == "ERROR":  # the ring in memory may still have it
            assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        else:
            assert event["object"]["metadata"]["name"] == listed["items"][0]["metadata"]["name"]


async def test_rows_of_a_table_are_watched_with_the_columns_sent_once(api: Api) -> None:
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    await create(api, "a")
    async with watching(api, f"{CONFIGMAPS}?watch=1", accept) as lines:
        first = (await lines.next())["object"]
        await create(api, "b")
        second = (await lines.next())["object"]
    assert first["kind"] == "Table"
    assert first["columnDefinitions"][0]["name"] == "Name"
    assert first["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert second["columnDefinitions"] == []
    assert second["rows"][0]["cells"][0] == "b"


async def test_metadata_alone_can_be_watched(api: Api) -> None:
    accept = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    async with watching(api, f"{CONFIGMAPS}?watch=1", accept) as lines:
        await create(api, "a")
        event = await lines.next()
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert event["object"]["metadata"]["name"] == "a"


async def test_a_watcher_that_does_not_keep_up_is_cut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(api, f"{CONFIGMAPS}?watch=1") as lines:
        await create(api, "a")
        assert await lines.take(1) == [("ADDED", "a")]
        monkeypatch.setattr(watchstreams, "MOST_UNREAD", -1)
        await create(api, "b")
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(lines.answer.content.read(), 5)


@pytest.mark.parametrize("accept", ["application/json", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"])
async def test_watches_begun_in_the_middle_of_writes_miss_nothing_and_repeat_nothing(api: Api, accept: str) -> None:
    names = [f"c{number:03}" for number in range(100)]

    async def read(query: str) -> list[str]:
        seen: list[str] = []
        async with watching(api, f"{CONFIGMAPS}?watch=1{query}", {"Accept": accept}) as lines:
            while names[-1] not in seen:
                seen += [name for _, name in await lines.take(1)]
        return seen

    readers = []
    for number, name in enumerate(names):
        if number % 10 == 5:
            readers.append(asyncio.create_task(read("" if number % 20 == 5 else "&resourceVersion=1")))
        await api.registry.create(configmap.KIND, "default", {"metadata": {"name": name}}, CONTROLLERS)
    for reader in readers:
        assert await reader == names


async def test_a_client_that_leaves_is_forgotten(api: Api) -> None:
    async with watching(api, f"{CONFIGMAPS}?watch=1"):
        assert api.server._watches.active == 1
    async with asyncio.timeout(5):
        while api.server._watches.active:
            await asyncio.sleep(0.001)


async def test_watches_end_in_good_order_when_the_server_stops(api: Api) -> None:
    async with watching(api, f"{CONFIGMAPS}?watch=1") as lines:
        await api.server.stop()
        assert await lines.ended()


@pytest.mark.parametrize(
    "query", ["labelSelector=a+in", "timeoutSeconds=x", "resourceVersion=abc", "sendInitialEvents=true"]
)
async def test_a_wrong_question_is_answered_before_anything_is_streamed(api: Api, query: str) -> None:
    code, status = await api.ask("GET", f"{CONFIGMAPS}?watch=1&{query}")
    assert code in (400, 422)
    assert status["kind"] == "Status"


@contextlib.asynccontextmanager
async def talking(api: Api, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A watch over a WebSocket."""
    async with api.session() as session, session.ws_connect(path) as socket:
        yield socket


async def test_a_watch_may_be_a_websocket_with_a_message_for_each_event(api: Api) -> None:
    await create(api, "a")
    async with talking(api, f"{CONFIGMAPS}?watch=1") as socket:
        first = await socket.receive_json(timeout=5)
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "a")
        await api.ask("POST", CONFIGMAPS, {"metadata": {"name": "large"}, "data": {"k": "v" * 70_000}})
        large = await socket.receive_json(timeout=5)
        assert len(large["object"]["data"]["k"]) == 70_000
        await api.ask("DELETE", f"{CONFIGMAPS}/a")
        assert (await socket.receive_json(timeout=5))["type"] == "DELETED"


async def test_a_websocket_that_says_good_bye_ends_its_watch(api: Api) -> None:
    async with talking(api, f"{CONFIGMAPS}?watch=1"):
        await until_watches(api, 1)
    await until_watches(api, 0)


async def test_one_event_reaches_both_kinds_of_watchers(api: Api) -> None:
    async with talking(api, f"{CONFIGMAPS}?watch=1") as socket, watching(api, f"{CONFIGMAPS}?watch=1") as lines:
        await until_watches(api, 2)
        await create(api, "a")
        assert (await socket.receive_json(timeout=5))["object"] == (await lines.next())["object"]


async def test_a_websocket_ends_when_its_time_is_over(api: Api) -> None:
    async with talking(api, f"{CONFIGMAPS}?watch=1&timeoutSeconds=1") as socket:
        assert (await socket.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE


async def until_watches(api: Api, number: int) -> None:
    async with asyncio.timeout(5):
        while api.server._watches.active != number:
            await asyncio.sleep(0.01)


async def test_a_list_and_its_watch_lose_and_double_nothing_over_a_thousand_writes(api: Api) -> None:
    registry, revisions = api.registry, list[int]()

    async def write(name: str) -> None:
        """Fifty writes: made, changed, and deleted in the end."""
        made = await registry.create(configmap.KIND, "default", {"metadata": {"name": name}}, CONTROLLERS)
        revisions.append(made.revision)
        for number in range(48):
            change = {"data": {"n": str(number)}}
            made, _ = await registry.patch(configmap.KIND, "default", name, change, PatchType.MERGE, CONTROLLERS)
            revisions.append(made.revision)
        gone = await registry.delete(configmap.KIND, "default", name, CONTROLLERS)
        assert gone.gone

    async def write_all() -> None:
        await asyncio.gather(*(write(f"c{number:02}") for number in range(20)))
        await create(api, "end")

    writing = asyncio.create_task(write_all())
    async with asyncio.timeout(20):
        while len(revisions) < 200 and not writing.done():
            await asyncio.sleep(0)
    _, listed = await api.ask("GET", CONFIGMAPS)
    since, seen, deleted = int(listed["metadata"]["resourceVersion"]), list[int](), list[str]()
    there = {item["metadata"]["name"] for item in listed["items"]}
    async with watching(api, f"{CONFIGMAPS}?watch=1&resourceVersion={since}") as lines:
        while "end" not in there:
            event = await lines.next()
            name, revision = (event["object"]["metadata"][key] for key in ("name", "resourceVersion"))
            if event["type"] == "DELETED":
                there.remove(name)
                deleted.append(name)
            else:
                assert event["type"] == ("MODIFIED" if name in there else "ADDED")
                there.add(name)
                seen.append(int(revision))
    await writing
    assert (len(revisions), len(set(deleted)), len(deleted), there) == (980, 20, 20, {"end"})
    assert seen[:-1] == sorted(revision for revision in revisions if revision > since)
    assert len(seen) > 500
