"""Events of events.k8s.io are the core group's, under other names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN

from motet.api.options import DeleteOptions, ListOptions, PatchType, WatchOptions
from motet.api.registry import Registry
from motet.base import selectors
from motet.kinds import event, event_v1


def happening(note: str = "hello") -> dict[str, Any]:
    return {
        "metadata": {"name": "a"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web"},
        "note": note,
        "reason": "Tested",
        "action": "Testing",
        "type": "Normal",
        "reportingController": "example.com/test",
        "reportingInstance": "test-1",
    }


@pytest.fixture
async def made(registry: Registry) -> dict[str, Any]:
    return (await registry.create(event_v1.KIND, "default", happening(), ADMIN)).decode()


async def test_an_event_is_answered_as_it_was_sent(made: dict[str, Any]) -> None:
    assert (made["apiVersion"], made["note"]) == ("events.k8s.io/v1", "hello")
    assert made["regarding"]["name"] == "web"


async def test_it_is_kept_as_a_core_event(registry: Registry, made: dict[str, Any]) -> None:
    stored = (await registry.get(event.KIND, "default", "a", ADMIN)).decode()
    assert (stored["apiVersion"], stored["message"]) == ("v1", "hello")
    assert stored["involvedObject"]["name"] == "web"


async def test_it_is_read_listed_and_selected_in_its_own_words(registry: Registry, made: dict[str, Any]) -> None:
    assert (await registry.get(event_v1.KIND, "default", "a", ADMIN)).decode()["note"] == "hello"
    options = ListOptions(fields=selectors.parse_fields("regarding.name=web"))
    page = await registry.list(event_v1.KIND, "default", ADMIN, options)
    assert [document.decode()["note"] for document in page.documents] == ["hello"]


async def test_it_is_patched_put_and_deleted_in_its_own_words(registry: Registry, made: dict[str, Any]) -> None:
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}
    patched, _ = await registry.patch(event_v1.KIND, "default", "a", series, PatchType.STRATEGIC, ADMIN)
    assert patched.decode()["series"]["count"] == 2
    again, _ = await registry.update(event_v1.KIND, "default", "a", patched.decode(), ADMIN)
    assert again.revision == patched.revision
    assert (await registry.delete(event_v1.KIND, "default", "a", ADMIN, DeleteOptions())).gone


async def test_it_is_watched_in_its_own_words(registry: Registry, made: dict[str, Any]) -> None:
    watch = await registry.watch(event_v1.KIND, "default", ADMIN, WatchOptions())
    assert [document.decode()["note"] for document in watch.initial] == ["hello"]
    await registry.delete(event.KIND, "default", "a", ADMIN, DeleteOptions())
    async with asyncio.timeout(5):
        [gone] = await anext(watch.events)
    assert (gone.type, gone.document.decode()["note"]) == ("DELETED", "hello")
    watch.events.close()
