"""What every engine must do. Written against `Store` alone; `conftest.ENGINES` says who has to pass."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from motet.store.engine import (
    Change,
    Compacted,
    Event,
    FutureRevision,
    RevisionConflict,
    Store,
    StoreError,
    StoreInUse,
)

Handle = Callable[[], Store]


def put(key: str, value: bytes = b"v", expect: int | None = None) -> Change:
    return Change(key, value, expect)


def drop(key: str, expect: int | None = None) -> Change:
    return Change(key, None, expect)


async def watched(store: Store, prefix: str, after: int, until: int, *, previous: bool = True) -> list[Event]:
    """Everything a watch gives up to and including revision `until`."""
    seen: list[Event] = []
    async with asyncio.timeout(10):
        async for events in store.watch(prefix, after, previous=previous):
            seen += events
            if events[-1].revision >= until:
                return seen
    return seen


# Revisions and transactions


async def test_an_empty_store_is_at_revision_zero(store: Store) -> None:
    assert (store.revision, store.compacted) == (0, 0)
    assert (await store.list("")).entries == []


async def test_every_transaction_is_one_revision_higher(store: Store) -> None:
    assert [await store.submit([put(f"k{n}")]) for n in range(3)] == [1, 2, 3]
    assert store.revision == 3


async def test_transactions_that_share_a_commit_keep_their_own_revisions(store: Store) -> None:
    revisions = await asyncio.gather(*(store.submit([put(f"k{n:03}")]) for n in range(500)))
    assert revisions == list(range(1, 501))


async def test_all_changes_of_a_transaction_share_its_revision(store: Store) -> None:
    revision = await store.submit([put("a"), put("b")])
    assert [entry.revision for entry in (await store.list("")).entries] == [revision, revision]


async def test_an_entry_remembers_its_first_and_last_write(store: Store) -> None:
    await store.submit([put("other")])
    await store.submit([put("k", b"1")])
    await store.submit([put("k", b"2")])
    entry = await store.get("k")
    assert entry is not None
    assert (entry.value, entry.created, entry.revision) == (b"2", 2, 3)


async def test_a_key_made_again_is_a_new_one(store: Store) -> None:
    await store.submit([put("k")])
    await store.submit([drop("k")])
    await store.submit([put("k", expect=0)])
    entry = await store.get("k")
    assert entry is not None
    assert entry.created == 3


async def test_a_write_that_expects_the_right_revision_succeeds(store: Store) -> None:
    revision = await store.submit([put("k", expect=0)])
    assert await store.submit([put("k", b"2", expect=revision)]) == 2
    assert await store.submit([drop("k", expect=2)]) == 3
    assert await store.get("k") is None


@pytest.mark.parametrize("expect", [0, 2, 99])
async def test_a_write_that_expects_another_revision_conflicts(store: Store, expect: int) -> None:
    await store.submit([put("k")])
    with pytest.raises(RevisionConflict) as caught:
        await store.submit([put("k", b"2", expect=expect)])
    assert (caught.value.key, caught.value.expected, caught.value.actual) == ("k", expect, 1)


async def test_nothing_of_a_conflicting_transaction_is_written(store: Store) -> None:
    with pytest.raises(RevisionConflict):
        await store.submit([put("a"), put("b", expect=7)])
    assert (await store.list("")).entries == []
    assert await store.submit([put("c")]) == 1


async def test_conflicts_are_decided_in_the_order_of_submission(store: Store) -> None:
    answers = await asyncio.gather(*(store.submit([put("k", expect=0)]) for _ in range(5)), return_exceptions=True)
    assert answers[0] == 1
    assert all(isinstance(answer, RevisionConflict) and answer.actual == 1 for answer in answers[1:])


async def test_writes_build_on_writes_still_under_way(store: Store) -> None:
    answers = await asyncio.gather(
        store.submit([put("k", expect=0)]),
        store.submit([drop("k", expect=1)]),
        store.submit([put("k", b"2", expect=0)]),
        store.submit([drop("k", expect=3)]),
        store.submit([put("k", b"3", expect=0)]),
    )
    assert answers == [1, 2, 3, 4, 5]
    entry = await store.get("k")
    assert entry is not None
    assert (entry.value, entry.created) == (b"3", 5)


async def test_deleting_what_is_not_there_writes_nothing(store: Store) -> None:
    await store.submit([put("k")])
    assert await store.submit([drop("gone")]) == 1
    assert await store.submit([drop("gone", expect=0), put("l")]) == 2
    assert [event.key for event in await watched(store, "", 0, 2)] == ["k", "l"]


async def test_a_malformed_transaction_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="changes"):
        store.submit([])
    with pytest.raises(ValueError, match="only once"):
        store.submit([put("k"), drop("k")])
    with pytest.raises(ValueError, match="surrogates"):
        store.submit([put("fine"), put("broken-\ud800")])
    with pytest.raises(TypeError):
        store.submit([put("fine"), put("k", "text")])  # type: ignore[arg-type]
    assert await store.submit([put("fine", expect=0)]) == 1


async def test_a_write_is_not_readable_before_it_is_durable(store: Store) -> None:
    future = store.submit([put("k")])
    assert await store.get("k") is None
    assert store.revision == 0
    await future
    assert await store.get("k") is not None


async def test_a_large_transaction_and_a_large_value_are_fine(store: Store) -> None:
    await store.submit([put(f"k{n:04}") for n in range(1000)])
    await store.submit([put("large", b"x" * 3_000_000)])
    assert len((await store.list("k")).entries) == 1000
    large = await store.get("large")
    assert large is not None
    assert large.value == b"x" * 3_000_000


async def test_a_caller_that_gives_up_does_not_undo_its_write(store: Store) -> None:
    store.submit([put("a")]).cancel()
    assert await store.submit([put("b")]) == 2
    assert await store.get("a") is not None


# Lists


async def test_a_list_is_in_key_order_and_keeps_to_its_prefix(store: Store) -> None:
    for key in ("core/pods/b/x", "core/pods/a-b/x", "core/podsets/a/x", "core/pods/a/x"):
        await store.submit([put(key)])
    found = await store.list("core/pods/")
    assert [entry.key for entry in found.entries] == ["core/pods/a-b/x", "core/pods/a/x", "core/pods/b/x"]
    assert found.revision == 4


async def test_pages_make_up_the_whole_list(store: Store) -> None:
    await store.submit([put(f"k{n}") for n in range(7)])
    keys: list[str] = []
    page = await store.list("k", limit=3)
    keys += [entry.key for entry in page.entries]
    while page.more:
        page = await store.list("k", after=page.entries[-1].key, limit=3, revision=page.revision)
        keys += [entry.key for entry in page.entries]
    assert keys == [f"k{n}" for n in range(7)]


async def test_a_page_that_ends_exactly_says_there_is_no_more(store: Store) -> None:
    await store.submit([put("a"), put("b")])
    assert not (await store.list("", limit=2)).more
    assert (await store.list("", limit=1)).more


async def test_the_past_can_be_listed_and_got(store: Store) -> None:
    await store.submit([put("a", b"1"), put("b", b"1")])
    await store.submit([put("a", b"2")])
    await store.submit([drop("b")])
    await store.submit([put("b", b"4"), put("c", b"4")])
    states = [
        {entry.key: entry.value for entry in (await store.list("", revision=revision)).entries} for revision in range(5)
    ]
    assert states == [
        {},
        {"a": b"1", "b": b"1"},
        {"a": b"2", "b": b"1"},
        {"a": b"2"},
        {"a": b"2", "b": b"4", "c": b"4"},
    ]
    old = await store.get("a", 1)
    assert old is not None
    assert (old.value, old.revision) == (b"1", 1)
    assert await store.get("b", 3) is None


async def test_a_past_with_more_in_it_than_the_present_is_listed_whole(store: Store) -> None:
    await store.submit([put("a"), put("b")])
    await store.submit([drop("a"), drop("b")])
    assert [entry.key for entry in (await store.list("", revision=1)).entries] == ["a", "b"]


async def test_the_future_cannot_be_read(store: Store) -> None:
    with pytest.raises(FutureRevision):
        await store.get("k", 1)
    with pytest.raises(FutureRevision):
        await store.list("", revision=1)
    with pytest.raises(FutureRevision):
        await watched(store, "", 1, 2)


# Watches


async def test_a_watch_gives_history_and_then_what_happens(store: Store) -> None:
    await store.submit([put("a", b"1")])
    seen = asyncio.create_task(watched(store, "", 0, 4))
    await store.submit([put("a", b"2")])
    await store.submit([drop("a")])
    await store.submit([put("a", b"4")])
    assert [(event.value, event.previous, event.created, event.revision) for event in await seen] == [
        (b"1", None, 1, 1),
        (b"2", b"1", 1, 2),
        (None, b"2", 1, 3),
        (b"4", None, 4, 4),
    ]


async def test_a_watch_keeps_to_its_prefix(store: Store) -> None:
    seen = asyncio.create_task(watched(store, "pods/", 0, 3))
    await store.submit([put("pods/a")])
    await store.submit([put("nodes/a")])
    await store.submit([put("nodes/b"), put("pods/b")])
    assert [event.key for event in await seen] == ["pods/a", "pods/b"]


async def test_a_watch_never_splits_a_transaction(store: Store) -> None:
    for n in range(50):
        await store.submit([put(f"{n}-{m}") for m in range(30)])
    async for events in store.watch("", 0):
        revisions = [event.revision for event in events]
        assert all(revisions.count(revision) == 30 for revision in set(revisions))
        if revisions[-1] == 50:
            break


@pytest.mark.parametrize("previous", [True, False])
async def test_watches_from_anywhere_lose_nothing_and_repeat_nothing(store: Store, previous: bool) -> None:
    total, chance = 1000, random.Random(7)
    watches: dict[int, asyncio.Task[list[Event]]] = {}
    for n in range(total // 50):
        writes = [store.submit([put(f"k{chance.randrange(40)}", str(n).encode())]) for _ in range(50)]
        for _ in range(3):
            after = chance.randint(0, store.revision)
            watches[after] = asyncio.create_task(watched(store, "", after, total, previous=previous))
        await asyncio.gather(*writes)
    for after, watch in watches.items():
        assert [event.revision for event in await watch] == list(range(after + 1, total + 1))


async def test_a_watcher_that_sleeps_through_a_storm_still_gets_everything(store: Store) -> None:
    watch = store.watch("", 0, previous=False)
    await store.submit([put("first")])
    assert [event.key for event in await anext(watch)] == ["first"]
    await asyncio.gather(*(store.submit([put(f"k{n}")]) for n in range(6000)))
    revisions: list[int] = []
    while len(revisions) < 6000:
        revisions += [event.revision for event in await anext(watch)]
    assert revisions == list(range(2, 6002))
    await watch.aclose()  # type: ignore[attr-defined]


async def test_history_ends_by_itself(store: Store) -> None:
    for n in range(5):
        await store.submit([put(f"k{n}")])
    batches: list[Sequence[Event]] = [events async for events in store.history("k", 1, 4)]
    assert [event.revision for events in batches for event in events] == [2, 3, 4]


async def test_a_watch_ends_when_the_store_is_closed(handle: Handle) -> None:
    opened = handle()
    await opened.open()
    ended = asyncio.create_task(watched(opened, "", 0, 99))
    await opened.submit([put("k")])
    await opened.close()
    assert len(await ended) <= 1


# Compaction


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Store) -> None:
    for n in range(10):
        await store.submit([put("k", str(n).encode()), put(f"only-{n}")])
    await store.submit([drop("only-0")])
    await store.compact(9)
    assert store.compacted == 9
    kept = await store.get("k", 9)
    assert kept is not None
    assert kept.value == b"8"
    assert [event.previous for event in await watched(store, "k", 9, 10)] == [b"8"]
    assert len((await store.list("only-", revision=10)).entries) == 10
    assert len((await store.list("only-")).entries) == 9
    with pytest.raises(Compacted) as caught:
        await store.list("", revision=8)
    assert (caught.value.asked, caught.value.oldest) == (8, 9)
    with pytest.raises(Compacted):
        await store.get("k", 8)
    with pytest.raises(Compacted):
        await watched(store, "", 8, 11)
    with pytest.raises(Compacted):
        await anext(aiter(store.history("", 8, 11)))


async def test_compacting_backwards_does_nothing_and_the_future_cannot_be(store: Store) -> None:
    for _ in range(3):
        await store.submit([put("k")])
    await store.compact(2)
    await store.compact(1)
    assert store.compacted == 2
    with pytest.raises(FutureRevision):
        await store.compact(4)


async def test_everything_may_be_compacted_even_when_the_last_write_was_a_deletion(handle: Handle) -> None:
    opened = handle()
    await opened.open()
    await opened.submit([put("k")])
    await opened.submit([drop("k")])
    await opened.compact(2)
    await opened.close()
    again = handle()
    await again.open()
    assert (again.revision, again.compacted) == (2, 2)
    assert await again.submit([put("k", expect=0)]) == 3
    await again.close()


async def test_writes_and_compaction_go_on_together(store: Store) -> None:
    async def write(writer: int) -> None:
        for n in range(60):
            await store.submit([put(f"k{writer}", str(n).encode())])

    async def compact() -> None:
        while store.revision < 400:
            await store.compact(store.revision)
            await asyncio.sleep(0)

    await asyncio.gather(compact(), *(write(writer) for writer in range(8)))
    assert {entry.value for entry in (await store.list("k")).entries} == {b"59"}


# Opening again


async def test_what_was_written_is_there_after_reopening(handle: Handle) -> None:
    opened = handle()
    await opened.open()
    await opened.submit([put("a", b"1")])
    await opened.submit([put("a", b"2"), put("b", b"2")])
    await opened.submit([drop("b")])
    await opened.close()
    again = handle()
    await again.open()
    assert again.revision == 3
    assert [(entry.key, entry.value, entry.created) for entry in (await again.list("")).entries] == [("a", b"2", 1)]
    assert [event.revision for event in await watched(again, "", 0, 3)] == [1, 2, 2, 3]
    with pytest.raises(RevisionConflict):
        await again.submit([put("a", expect=1)])
    assert await again.submit([put("a", expect=2)]) == 4
    await again.close()


async def test_closing_finishes_what_was_accepted(handle: Handle) -> None:
    opened = handle()
    await opened.open()
    futures = [opened.submit([put(f"k{n}")]) for n in range(300)]
    await opened.close()
    assert [future.result() for future in futures] == list(range(1, 301))
    with pytest.raises(StoreError):
        await opened.submit([put("late")])


async def test_a_second_manager_is_refused(handle: Handle, store: Store) -> None:
    with pytest.raises(StoreInUse):
        await handle().open()
    assert await store.submit([put("k")]) == 1
