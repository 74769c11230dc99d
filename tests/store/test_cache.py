"""The cache: current tables, and watches that lose nothing, repeat nothing and show each watcher only its selection."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from motet.base import selectors
from motet.base.selectors import parse_fields
from motet.store import cache as cache_module
from motet.store import ring as ring_module
from motet.store.cache import Cache, Resource, SlowSubscriber, Subscription, WatchEvent
from motet.store.document import Document, encode
from motet.store.engine import Change, Compacted, FutureRevision, StoreError
from motet.store.sqlite import SqliteStore


class SpecView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class PodView(msgspec.Struct, gc=False, frozen=True):
    spec: SpecView = SpecView()


def pod_fields(document: Document) -> Mapping[str, str]:
    return {"spec.nodeName": document.view(PodView).spec.node_name}


PODS = Resource("core/pods", pod_fields, ("spec.nodeName",))
NODES = Resource("core/nodes")


def pod(
    name: str, namespace: str = "default", *, node: str = "", labels: dict[str, str] | None = None, expect: int | None = None,
    fill: int = 0,
) -> Change:  # fmt: skip
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels is not None:
        metadata["labels"] = labels
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node, "fill": "x" * fill}}
    return Change(f"core/pods/{namespace}/{name}", encode(document), expect)


def no_pod(name: str, namespace: str = "default") -> Change:
    return Change(f"core/pods/{namespace}/{name}", None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state.db", "NORMAL")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def cache(store: SqliteStore) -> AsyncIterator[Cache]:
    started = Cache(store, [PODS, NODES])
    await started.start()
    yield started
    await started.close()


async def taken(subscription: Subscription, count: int) -> list[WatchEvent]:
    """The next `count` events, and no more than those."""
    seen: list[WatchEvent] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            seen += await anext(subscription)
    assert len(seen) == count
    return seen


def shown(events: Sequence[WatchEvent]) -> list[tuple[str, str, int]]:
    return [(event.type, event.document.name, event.revision) for event in events]


# Tables


async def test_what_was_there_is_loaded(store: SqliteStore) -> None:
    await asyncio.gather(*(store.submit([pod(f"p{n:04}")]) for n in range(1200)))
    cache = Cache(store, [PODS])
    await cache.start()
    assert len(cache.table("core/pods")) == 1200
    assert (cache.revision, cache.table("core/pods").revision) == (1200, 1200)
    await cache.close()


async def test_a_writer_reads_its_own_write(store: SqliteStore, cache: Cache) -> None:
    revision = await store.submit([pod("a")])
    await cache.reached(revision)
    found = cache.table("core/pods").get("a", "default")
    assert found is not None
    assert found.revision == revision
    assert found.meta.resource_version == str(revision)


async def test_waiting_for_a_revision_ends_when_it_comes(store: SqliteStore, cache: Cache) -> None:
    waiting = [asyncio.create_task(cache.reached(revision)) for revision in (3, 1, 2)]
    for n in range(3):
        await store.submit([pod(f"p{n}")])
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)


async def test_closing_fails_those_who_wait_for_a_revision(store: SqliteStore) -> None:
    cache = Cache(store, [PODS])
    await cache.start()
    waiting = asyncio.create_task(cache.reached(99))
    await asyncio.sleep(0)
    await cache.close()
    with pytest.raises(StoreError):
        await waiting


async def test_deletions_leave_the_table(store: SqliteStore, cache: Cache) -> None:
    await store.submit([pod("a")])
    await cache.reached(await store.submit([no_pod("a")]))
    assert len(cache.table("core/pods")) == 0


async def test_a_resource_can_be_added_while_it_is_being_written(store: SqliteStore, cache: Cache) -> None:
    things = Resource("example.com/things")

    def thing(n: int) -> Change:
        return Change(f"example.com/things//t{n % 700}", encode({"kind": "Thing", "metadata": {"name": f"t{n % 700}"}}))

    await asyncio.gather(*(store.submit([thing(n)]) for n in range(700)))
    adding = asyncio.create_task(cache.add(things))
    revisions = []
    for n in range(60):
        revisions.append(await store.submit([thing(n)]))
    await adding
    await cache.reached(revisions[-1])
    table = cache.table("example.com/things")
    newest = {f"t{n}": revision for n, revision in enumerate(revisions)}
    assert len(table) == 700
    assert all(document.revision == newest.get(document.name, document.revision) for document in table)
    assert sum(document.revision > 700 for document in table) == 60


async def test_adding_twice_changes_nothing_and_removing_ends_subscriptions(cache: Cache) -> None:
    table = cache.table("core/pods")
    await cache.add(PODS)
    assert cache.table("core/pods") is table
    subscription = cache.subscribe("core/pods", after=0)
    cache.remove("core/pods")
    assert [events async for events in subscription] == []
    with pytest.raises(KeyError):
        cache.table("core/pods")


async def test_events_of_unknown_resources_are_passed_over(store: SqliteStore, cache: Cache) -> None:
    await cache.reached(await store.submit([Change("other/things//x", b"not even a document")]))
    assert cache.resources == ["core/pods", "core/nodes"]


# Subscriptions


async def test_a_subscriber_sees_additions_changes_and_deletions(store: SqliteStore, cache: Cache) -> None:
    subscription = cache.subscribe("core/pods", after=0)
    await store.submit([pod("a", node="n1")])
    await store.submit([pod("a", node="n2")])
    await store.submit([no_pod("a")])
    events = await taken(subscription, 3)
    assert shown(events) == [("ADDED", "a", 1), ("MODIFIED", "a", 2), ("DELETED", "a", 3)]
    last = events[2].document.decode()
    assert (last["metadata"]["resourceVersion"], last["spec"]["nodeName"]) == ("3", "n2")


async def test_a_line_is_made_once_and_shared(store: SqliteStore, cache: Cache) -> None:
    one, other = cache.subscribe("core/pods", after=0), cache.subscribe("core/pods", after=0)
    await store.submit([pod("a")])
    (mine,), (yours,) = await anext(one), await anext(other)
    assert mine.line is yours.line
    decoded = msgspec.json.decode(mine.line)
    assert (decoded["type"], decoded["object"]["metadata"]["resourceVersion"]) == ("ADDED", "1")
    assert mine.line.endswith(b"}\n")


SELECTIONS: list[dict[str, Any]] = [
    {"labels": selectors.parse("app=web")},
    {"labels": selectors.parse("app!=db,app")},
    {"fields": parse_fields("spec.nodeName=n1")},
    {"fields": parse_fields("spec.nodeName!=")},
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=["label", "labels", "field", "not field"])
@pytest.mark.parametrize("late", [False, True], ids=["live", "from history"])
async def test_entering_a_selection_is_an_addition_and_leaving_it_a_deletion(
    store: SqliteStore, cache: Cache, monkeypatch: pytest.MonkeyPatch, selection: dict[str, Any], late: bool
) -> None:
    inside, outside = pod("a", node="n1", labels={"app": "web"}), pod("a", labels={"app": "db"})
    early = None if late else cache.subscribe("core/pods", after=0, **selection)
    for change in (outside, inside, inside, outside, outside, inside, no_pod("a"), outside):
        await store.submit([change])
    if late:
        cache._kept["core/pods"].ring = ring_module.Ring(8)
    events = await taken(early or cache.subscribe("core/pods", after=0, **selection), 5)
    assert shown(events) == [
        ("ADDED", "a", 2),
        ("MODIFIED", "a", 3),
        ("DELETED", "a", 4),
        ("ADDED", "a", 6),
        ("DELETED", "a", 7),
    ]
    assert events[2].document.meta.labels == {"app": "web"}


async def test_each_sees_its_own_namespace_and_name(store: SqliteStore, cache: Cache) -> None:
    spaces = {space: cache.subscribe("core/pods", after=0, namespace=space) for space in ("x", "y")}
    named = cache.subscribe("core/pods", after=0, namespace="y", fields=parse_fields("metadata.name=b"))
    anywhere = cache.subscribe("core/pods", after=0, fields=parse_fields("metadata.name=b"))
    await store.submit([pod("a", "x"), pod("b", "x"), pod("a", "y"), pod("b", "y")])
    assert [(e.document.namespace, e.document.name) for e in await anext(spaces["x"])] == [("x", "a"), ("x", "b")]
    assert [(e.document.namespace, e.document.name) for e in await anext(spaces["y"])] == [("y", "a"), ("y", "b")]
    assert [(e.document.namespace, e.document.name) for e in await anext(named)] == [("y", "b")]
    assert [(e.document.namespace, e.document.name) for e in await anext(anywhere)] == [("x", "b"), ("y", "b")]


async def test_an_event_is_not_weighed_against_strangers(
    store: SqliteStore, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    weighed: list[object] = []
    real = cache_module.Selection.event
    monkeypatch.setattr(
        cache_module.Selection, "event", lambda self, *given: weighed.append(self) or real(self, *given)
    )
    kept = [cache.subscribe("core/pods", after=0, fields=parse_fields(f"spec.nodeName=n{n}")) for n in range(500)]
    kept += [cache.subscribe("core/pods", after=0, namespace=f"s{n}") for n in range(500)]
    kept += [cache.subscribe("core/pods", after=0, labels=selectors.parse(f"app=a{n}")) for n in range(500)]
    await cache.reached(await store.submit([pod("a", "s1", node="n7", labels={"app": "a9"})]))
    assert len(weighed) == 3
    assert sum(subscription.revision == 0 for subscription in kept) == 3


async def test_no_event_is_lost_or_repeated_over_a_thousand_writes(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small ring, so that watches begin in the ring, in the engine's history, and between the two.
    monkeypatch.setattr(ring_module, "_MOST_CHANGES", 100)
    monkeypatch.setattr(cache_module, "Ring", lambda floor: ring_module.Ring(floor, changes=100))
    cache, chance, total = Cache(store, [PODS]), random.Random(11), 1000
    await cache.start()
    watchers: list[tuple[int, asyncio.Task[list[WatchEvent]]]] = []
    pushed: list[tuple[int, list[WatchEvent], Subscription]] = []
    catching = []
    for n in range(total // 25):
        names = [f"p{chance.randrange(30)}" for _ in range(25)]
        writes = [store.submit([pod(name, node=str(n))]) for name in names]
        for _ in range(2):
            after = chance.randint(0, cache.revision)
            watchers.append(
                (after, asyncio.create_task(taken(cache.subscribe("core/pods", after=after), total - after)))
            )
            got: list[WatchEvent] = []
            after = chance.randint(0, cache.revision)
            subscription = cache.subscribe("core/pods", after=after, deliver=got.extend)
            catching.append(asyncio.create_task(subscription.catch_up()))
            pushed.append((after, got, subscription))
        await asyncio.gather(*writes)
    await cache.reached(total)
    await asyncio.gather(*catching)
    for after, task in watchers:
        assert [event.revision for event in await task] == list(range(after + 1, total + 1))
    for after, got, subscription in pushed:
        assert [event.revision for event in got] == list(range(after + 1, total + 1))
        assert subscription.revision == total
    await cache.close()


async def test_a_restarted_cache_serves_watches_from_before(store: SqliteStore) -> None:
    for n in range(5):
        await store.submit([pod(f"p{n}")])
    await store.submit([Change("core/nodes//n", encode({"kind": "Node", "metadata": {"name": "n"}}))])
    cache = Cache(store, [PODS, NODES])
    await cache.start()
    subscription = cache.subscribe("core/pods", after=2)
    await store.submit([pod("p5")])
    assert [event.revision for event in await taken(subscription, 4)] == [3, 4, 5, 7]
    await cache.close()


async def test_a_watch_from_before_compaction_is_refused(store: SqliteStore, cache: Cache) -> None:
    for n in range(5):
        await store.submit([pod(f"p{n}")])
    await store.compact(4)
    cache._kept["core/pods"].ring = ring_module.Ring(5)
    with pytest.raises(Compacted):
        cache.subscribe("core/pods", after=3)
    assert shown(await taken(cache.subscribe("core/pods", after=4), 1)) == [("ADDED", "p4", 5)]


async def test_compaction_between_subscribing_and_reading_is_told(store: SqliteStore, cache: Cache) -> None:
    for n in range(5):
        await store.submit([pod(f"p{n}")])
    cache._kept["core/pods"].ring = ring_module.Ring(5)
    subscription = cache.subscribe("core/pods", after=1)
    await store.compact(5)
    with pytest.raises(Compacted):
        await anext(subscription)
    assert subscription.closed


async def test_the_future_cannot_be_watched(cache: Cache) -> None:
    with pytest.raises(FutureRevision):
        cache.subscribe("core/pods", after=1)


async def test_a_slow_subscriber_is_cut_off_and_others_are_not(store: SqliteStore, cache: Cache) -> None:
    slow = cache.subscribe("core/pods", after=0, limit=5000)
    quick = cache.subscribe("core/pods", after=0)
    for n in range(10):
        await store.submit([pod(f"p{n}", fill=1000)])
    with pytest.raises(SlowSubscriber):
        await anext(slow)
    assert len(await taken(quick, 10)) == 10


async def test_a_closed_subscription_ends_its_iteration(store: SqliteStore, cache: Cache) -> None:
    subscription = cache.subscribe("core/pods", after=0)

    async def read() -> int:
        return sum([len(events) async for events in subscription])

    reading = asyncio.create_task(read())
    await store.submit([pod("a")])
    await asyncio.sleep(0)
    subscription.close()
    await store.submit([pod("b")])
    async with asyncio.timeout(10):
        assert await reading <= 1


async def test_closing_the_cache_ends_all_subscriptions(store: SqliteStore) -> None:
    cache = Cache(store, [PODS])
    await cache.start()
    told: list[object] = []
    pulled, given = cache.subscribe("core/pods", after=0), cache.subscribe("core/pods", after=0, deliver=told.extend)
    given.on_close = told.append
    await cache.close()
    assert [events async for events in pulled] == []
    assert told == [None]


async def test_a_subscriptions_revision_says_what_is_behind_it(store: SqliteStore, cache: Cache) -> None:
    mine = cache.subscribe("core/pods", after=0, namespace="mine")
    await cache.reached(await store.submit([pod("a", "other")]))
    assert mine.revision == 1
    await store.submit([pod("a", "mine")])
    await cache.reached(await store.submit([pod("b", "mine")]))
    assert mine.revision == 1
    await anext(mine)
    assert mine.revision == 3


async def test_batches_never_split_a_transaction(store: SqliteStore, cache: Cache) -> None:
    subscription = cache.subscribe("core/pods", after=0)
    await store.submit([pod(f"p{n}") for n in range(20)])
    assert len(await anext(subscription)) == 20


async def test_subscribing_from_within_a_delivery_repeats_nothing(store: SqliteStore, cache: Cache) -> None:
    inner: list[Subscription] = []
    seen: list[WatchEvent] = []

    def deliver(events: Sequence[WatchEvent]) -> None:
        seen.extend(events)
        if not inner:
            inner.append(cache.subscribe("core/pods", after=cache.revision))

    outer = cache.subscribe("core/pods", after=0, deliver=deliver)
    await outer.catch_up()
    await store.submit([pod("a")])
    await store.submit([pod("b")])
    assert shown(await taken(inner[0], 1)) == [("ADDED", "b", 2)]
    assert len(seen) == 2


async def test_a_cache_that_fell_behind_compaction_loads_again(store: SqliteStore) -> None:
    for n in range(4):
        await store.submit([pod(f"p{n}")])
    cache = Cache(store, [PODS])
    await cache.start()
    heard: list[tuple[str | None, str | None]] = []
    cache.table("core/pods").listen(lambda old, new: heard.append((old and old.name, new and new.name)))
    subscription = cache.subscribe("core/pods", after=4)
    # As if following had stopped here for long.
    assert cache._follower is not None
    cache._follower.cancel()
    await store.submit([no_pod("p0"), pod("p1", node="n1"), pod("p9")])
    await store.compact(5)
    cache._follower = asyncio.create_task(cache._follow())
    async with asyncio.timeout(10):
        await cache.reached(5)
    assert sorted(heard, key=str) == [("p0", None), ("p1", "p1"), (None, "p9")]
    assert [document.name for document in cache.table("core/pods")] == ["p1", "p2", "p3", "p9"]
    with pytest.raises(Compacted):
        await anext(subscription)
    await cache.close()


async def test_a_failing_receiver_costs_no_one_a_change_without_being_told(store: SqliteStore, cache: Cache) -> None:
    def fail(events: Sequence[WatchEvent]) -> None:
        raise RuntimeError("the receiver broke its promise")

    bad = cache.subscribe("core/pods", after=0, namespace="default", deliver=fail)
    await bad.catch_up()
    good = [cache.subscribe("core/pods", after=0, fields=parse_fields(f"spec.nodeName!=n{n}")) for n in range(3)]
    await store.submit([pod("a")])
    assert cache._follower is not None
    async with asyncio.timeout(10):
        for subscription in good:
            with contextlib.suppress(StoreError):
                assert shown(await anext(subscription)) == [("ADDED", "a", 1)]
                await anext(subscription)
        await cache.reached(await store.submit([pod("b")]))
    assert [document.name for document in cache.table("core/pods")] == ["a", "b"]
    assert bad.closed
