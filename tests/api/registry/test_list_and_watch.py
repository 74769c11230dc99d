from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.api.registry.cluster import ADMIN, config, pod

from motet.api.listing import Page
from motet.api.options import DeleteOptions, ListOptions, PatchType, WatchOptions
from motet.api.registry import Registry
from motet.api.watching import Watch
from motet.base import selectors
from motet.base.errors import BadRequest, Expired, Invalid, TimedOut
from motet.kinds import configmap
from motet.kinds import pod as pods


@pytest.fixture
async def five(registry: Registry) -> None:
    for name in "abcde":
        labels = {"odd": str(name in "ace").lower()}
        document = {"metadata": {"name": name, "labels": labels}}
        await registry.create(configmap.KIND, "default", document, ADMIN)


async def listed(registry: Registry, **options: Any) -> Page:
    return await registry.list(configmap.KIND, "default", ADMIN, ListOptions(**options))


def names(page: Page) -> str:
    return "".join(document.name for document in page.documents)


async def events(watch: Watch, count: int) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(5):
        while len(seen) < count:
            seen += [(event.type, event.document.name) for event in await anext(watch.events)]
    return seen


@pytest.mark.usefixtures("five")
async def test_a_list_is_spliced_from_stored_bytes(registry: Registry) -> None:
    page = await listed(registry)
    body = msgspec.json.decode(b"".join(page.chunks(configmap.KIND)))
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert body["metadata"] == {"resourceVersion": str(registry.store.revision)}
    assert [item["metadata"]["name"] for item in body["items"]] == list("abcde")


async def test_an_empty_list_has_items(registry: Registry) -> None:
    body = msgspec.json.decode(b"".join((await listed(registry)).chunks(configmap.KIND)))
    assert body["items"] == []


@pytest.mark.usefixtures("five")
async def test_pages_show_one_moment_whatever_changes_between_them(registry: Registry) -> None:
    first = await listed(registry, limit=2)
    assert (names(first), first.remaining) == ("ab", 3)
    await registry.delete(configmap.KIND, "default", "c", ADMIN, DeleteOptions())
    await registry.create(configmap.KIND, "default", config("cc"), ADMIN)
    second = await listed(registry, limit=2, continue_token=first.continue_token)
    third = await listed(registry, limit=2, continue_token=second.continue_token)
    assert names(first) + names(second) + names(third) == "abcde"
    assert first.revision == second.revision == third.revision
    assert not third.continue_token


@pytest.mark.usefixtures("five")
async def test_pages_of_a_selection_are_full(registry: Registry) -> None:
    odd = selectors.parse("odd=true")
    first = await listed(registry, limit=2, labels=odd)
    assert (names(first), first.remaining) == ("ac", None)
    second = await listed(registry, limit=2, labels=odd, continue_token=first.continue_token)
    assert (names(second), second.continue_token) == ("e", "")


@pytest.mark.usefixtures("five")
async def test_a_token_older_than_what_is_kept_offers_to_go_on_inconsistently(registry: Registry) -> None:
    first = await listed(registry, limit=2)
    await registry.create(configmap.KIND, "default", config("f"), ADMIN)
    await registry.store.compact(registry.store.revision)
    with pytest.raises(Expired) as info:
        await listed(registry, limit=2, continue_token=first.continue_token)
    token = info.value.status()["metadata"]["continue"]
    assert names(await listed(registry, continue_token=token)) == "cdef"


async def test_a_token_of_somebody_else_is_refused(registry: Registry) -> None:
    with pytest.raises(BadRequest, match="continue key is not valid"):
        await listed(registry, continue_token="abc")


@pytest.mark.usefixtures("five")
async def test_a_list_can_be_taken_at_an_exact_revision(registry: Registry) -> None:
    then = registry.store.revision
    await registry.delete(configmap.KIND, "default", "a", ADMIN, DeleteOptions())
    page = await listed(registry, resource_version=str(then), resource_version_match="Exact")
    assert (names(page), page.revision) == ("abcde", then)
    page = await listed(registry, resource_version=str(then), resource_version_match="NotOlderThan")
    assert names(page) == "bcde"
    assert names(await listed(registry, resource_version="0")) == "bcde"


async def test_a_revision_not_written_yet_is_too_large(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.api.writing.FRESH_SECONDS", 0.01)
    with pytest.raises(TimedOut, match="Too large resource version: 999999, current: "):
        await listed(registry, resource_version="999999")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resource_version_match": "Exact"}, "forbidden unless resourceVersion is provided"),
        ({"resource_version_match": "Exact", "resource_version": "0"}, "forbidden for resourceVersion"),
        ({"resource_version_match": "Newest", "resource_version": "1"}, "supported values"),
        ({"resource_version": "x"}, "resourceVersion: Invalid value"),
    ],
)
async def test_rules_of_resource_versions(registry: Registry, options: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await listed(registry, **options)


async def test_unknown_fields_cannot_be_selected_by(registry: Registry) -> None:
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.colour"):
        await listed(registry, fields=selectors.parse_fields("spec.colour=red"))


async def test_pods_are_listed_by_their_node(registry: Registry) -> None:
    for name in ("a", "b"):
        await registry.create(pods.KIND, "default", pod(name), ADMIN)
    await registry.bind([("default", "b", "", "n1")])
    options = ListOptions(fields=selectors.parse_fields("spec.nodeName=n1"))
    assert names(await registry.list(pods.KIND, "", ADMIN, options)) == "b"


@pytest.mark.usefixtures("five")
async def test_a_watch_from_nowhere_begins_with_what_there_is(registry: Registry) -> None:
    watch = await registry.watch(configmap.KIND, "default", ADMIN, WatchOptions())
    assert "".join(document.name for document in watch.initial) == "abcde"
    assert not watch.bookmark_initial
    await registry.create(configmap.KIND, "default", config("f"), ADMIN)
    assert await events(watch, 1) == [("ADDED", "f")]
    watch.events.close()


async def test_a_watch_from_a_list_sees_exactly_what_came_later(registry: Registry) -> None:
    await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    page = await listed(registry)
    await registry.patch(configmap.KIND, "default", "a", {"data": {"x": "1"}}, PatchType.MERGE, ADMIN)
    watch = await registry.watch(configmap.KIND, "", ADMIN, WatchOptions(resource_version=str(page.revision)))
    await registry.delete(configmap.KIND, "default", "a", ADMIN, DeleteOptions())
    assert list(watch.initial) == []
    assert await events(watch, 2) == [("MODIFIED", "a"), ("DELETED", "a")]
    watch.events.close()


@pytest.mark.usefixtures("five")
async def test_a_streamed_list_ends_with_a_bookmark(registry: Registry) -> None:
    options = WatchOptions(resource_version_match="NotOlderThan", send_initial_events=True)
    watch = await registry.watch(configmap.KIND, "default", ADMIN, options)
    assert len(watch.initial) == 5
    assert watch.bookmark_initial
    assert watch.revision == registry.store.revision
    watch.events.close()


async def test_initial_events_need_their_match(registry: Registry) -> None:
    with pytest.raises(Invalid, match="resourceVersionMatch"):
        await registry.watch(configmap.KIND, "default", ADMIN, WatchOptions(send_initial_events=True))


async def test_a_watch_from_before_compaction_must_list_again(registry: Registry) -> None:
    first = await registry.create(configmap.KIND, "default", config("a"), ADMIN)
    for number in range(5):
        await registry.patch(configmap.KIND, "default", "a", {"data": {"x": str(number)}}, PatchType.MERGE, ADMIN)
    await registry.store.compact(registry.store.revision)
    await registry.cache.close()
    await registry.cache.start()
    with pytest.raises(Expired, match="too old resource version"):
        await registry.watch(configmap.KIND, "default", ADMIN, WatchOptions(resource_version=str(first.revision - 1)))
