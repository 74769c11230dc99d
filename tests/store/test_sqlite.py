"""What only the embedded engine has to prove: crashes, full disks, damaged files, layouts, backups."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from motet.store.engine import Change, Compacted, RevisionConflict, StoreDamaged, StoreError, StoreInUse
from motet.store.restore import restore
from motet.store.sqlite import SqliteStore, Synchronous

MODES: list[Synchronous] = ["FULL", "NORMAL"]


@pytest.fixture(params=MODES)
def synchronous(request: pytest.FixtureRequest) -> Synchronous:
    mode: Synchronous = request.param
    return mode


@pytest.fixture
async def store(tmp_path: Path, synchronous: Synchronous) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state.db", synchronous)
    await opened.open()
    yield opened
    await opened.close()


async def filled(path: Path, keys: int = 200, size: int = 500) -> None:
    """A closed store with some content."""
    opened = SqliteStore(path, "NORMAL")
    await opened.open()
    await asyncio.gather(*(opened.submit([Change(f"k{n:04}", b"v%d" % n * size)]) for n in range(keys)))
    await opened.close()


# Crashes


def crash(path: Path, synchronous: str, first: int, acknowledgements: int) -> list[tuple[int, int, int]]:
    """Let the writer run until it has acknowledged so many, kill it, and give what it acknowledged."""
    program = Path(__file__).with_name("crashing_writer.py")
    command = [sys.executable, str(program), str(path), synchronous, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(acknowledgements)]
        child.kill()
        lines += child.stdout.read().splitlines(keepends=True)
    assert child.returncode == -9
    # The last line may be torn; what it says was then not told to anybody.
    return [tuple(map(int, line.split())) for line in lines if line.endswith(b"\n")]  # type: ignore[misc]


async def test_no_acknowledged_write_is_lost_and_none_is_half_there_after_kill_9(
    tmp_path: Path, synchronous: Synchronous
) -> None:
    path, chance = tmp_path / "state.db", random.Random(3)
    first, acknowledged = 0, {}
    for _ in range(6):
        for writer, number, revision in crash(path, synchronous, first, chance.randint(1, 1500)):
            acknowledged[writer] = (number, revision)
        store = SqliteStore(path, synchronous)
        await store.open()
        for writer, (number, revision) in acknowledged.items():
            left, right = await store.get(f"left/{writer}"), await store.get(f"right/{writer}")
            assert left is not None
            assert right is not None
            assert (left.value, left.revision) == (right.value, right.revision)
            assert int(left.value) >= number
            assert left.revision >= revision
            assert store.revision >= revision
        async for events in store.history("", store.compacted, store.revision):
            for one, other in zip(events[::2], events[1::2], strict=True):
                assert (one.value, one.revision) == (other.value, other.revision)
        await store.close()
        first += 1_000_000


# Full disks and other failures


def limit_pages(store: SqliteStore, extra: int | None) -> None:
    """Pretend the disk has room for so many more pages, or enough again."""
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count={pages + extra if extra is not None else 1_000_000}")


async def test_a_full_disk_fails_what_was_under_way_and_nothing_else(store: SqliteStore) -> None:
    await store.submit([Change("kept", b"1")])
    limit_pages(store, 2)
    big = b"x" * 100_000
    answers = await asyncio.gather(
        store.submit([Change("kept", big)]),
        store.submit([Change("kept", b"3", expect=2)]),
        store.submit([Change("new", b"1", expect=0)]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [StoreError] * 3
    assert "disk is full" in str(answers[0])
    assert store.revision == 1
    limit_pages(store, None)
    kept = await store.get("kept")
    assert kept is not None
    assert (kept.value, kept.revision) == (b"1", 1)
    assert await store.submit([Change("kept", b"2", expect=1)]) == 2
    assert await store.submit([Change("new", b"1", expect=0)]) == 3


async def test_watchers_never_hear_of_a_write_that_failed(store: SqliteStore) -> None:
    await store.submit([Change("k", b"1")])
    watch = store.watch("", 0, previous=False)
    assert [event.value for event in await anext(watch)] == [b"1"]
    limit_pages(store, 0)
    with pytest.raises(StoreError):
        await store.submit([Change("k", b"x" * 100_000)])
    limit_pages(store, None)
    await store.submit([Change("k", b"2")])
    assert [(event.value, event.revision) for event in await anext(watch)] == [(b"2", 2)]
    await watch.aclose()


async def test_small_writes_go_on_when_a_large_one_does_not_fit(store: SqliteStore) -> None:
    limit_pages(store, 3)
    for n in range(3):
        with pytest.raises(StoreError):
            await store.submit([Change("large", b"x" * 1_000_000)])
        await store.submit([Change("small", b"%d" % n)])
    assert store.revision == 3


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("needs the right to mount")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_writing_goes_on_when_a_really_full_disk_has_room_again(
    tiny_disk: Path, synchronous: Synchronous
) -> None:
    store = SqliteStore(tiny_disk / "state.db", synchronous)
    await store.open()
    written = 0
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    with contextlib.suppress(StoreError):
        while written < 1000:
            await store.submit([Change(f"k{written}", b"v" * 10_000, expect=0)])
            written += 1
    assert 0 < written < 1000
    assert store.revision == written
    ballast.unlink()
    assert await store.submit([Change(f"k{written}", b"v", expect=0)]) == written + 1
    await store.close()
    again = SqliteStore(tiny_disk / "state.db", synchronous)
    await again.open()
    assert (again.revision, len((await again.list("")).entries)) == (written + 1, written + 1)
    await again.close()


# Who may open


async def test_a_second_opening_names_the_holder(store: SqliteStore) -> None:
    with pytest.raises(StoreInUse, match=str(os.getpid())):
        await SqliteStore(store.path).open()


async def test_after_closing_another_may_open(tmp_path: Path) -> None:
    for _ in range(2):
        store = SqliteStore(tmp_path / "state.db")
        await store.open()
        await store.close()
        await store.close()


async def test_the_file_is_readable_by_its_owner_only(store: SqliteStore) -> None:
    await store.submit([Change("k", b"secret")])
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.path.parent.iterdir()}
    assert set(modes.values()) == {0o600}


async def test_a_directory_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open"):
        await SqliteStore(tmp_path / "file" / "state.db").open()


# Damage


async def refuses(path: Path) -> StoreError:
    """The error that opening and then reading everything raises; the file must be left as it was."""
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        await read_everything(SqliteStore(path))
    assert path.read_bytes() == before
    return caught.value


async def read_everything(store: SqliteStore) -> None:
    await store.open()
    try:
        await store.list("")
    finally:
        await store.close()


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("this is no database, and was never one")
    error = await refuses(path)
    assert isinstance(error, StoreDamaged)
    assert "motet restore" in str(error)


async def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(StoreError, match="something else"):
        await SqliteStore(path).open()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_a_cut_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    os.truncate(path, int(path.stat().st_size * share))
    assert isinstance(await refuses(path), StoreDamaged)


async def test_overwritten_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path)
    with path.open("r+b") as file:
        file.seek(4 * 8192)
        file.write(os.urandom(2 * 8192))
    assert isinstance(await refuses(path), StoreDamaged)


async def test_a_single_rotten_byte_in_a_value_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path, keys=50)
    content = bytearray(path.read_bytes())
    at = content.index(b"v37v37v37v37") + 6
    content[at] ^= 1
    path.write_bytes(content)
    error = await refuses(path)
    assert isinstance(error, StoreDamaged)
    assert "k0037" in str(error)


async def test_a_layout_from_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path, keys=1)
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO schema_version VALUES (99, 'tomorrow')")
    other.close()
    with pytest.raises(StoreError, match="newer Motet"):
        await SqliteStore(path).open()


async def test_a_refused_store_may_be_opened_once_it_is_restored(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    await filled(path, keys=3)
    sound = path.read_bytes()
    path.write_text("x" * 100)
    store = SqliteStore(path)
    with pytest.raises(StoreDamaged):
        await store.open()
    path.write_bytes(sound)
    await store.open()
    assert store.revision == 3
    await store.close()


# Backups


async def test_a_backup_taken_while_writing_is_a_whole_store(store: SqliteStore, tmp_path: Path) -> None:
    writes = [store.submit([Change(f"a{n}", b"x"), Change(f"b{n}", b"x")]) for n in range(300)]
    await asyncio.sleep(0)
    await store.backup(tmp_path / "backup.db")
    await asyncio.gather(*writes)
    copy = SqliteStore(tmp_path / "backup.db")
    await copy.open()
    assert len((await copy.list("a")).entries) == len((await copy.list("b")).entries) == copy.revision
    await copy.close()


async def test_a_backup_restores_a_damaged_store(tmp_path: Path) -> None:
    path, backup = tmp_path / "state.db", tmp_path / "backup.db"
    await filled(path, keys=10)
    store = SqliteStore(path)
    await store.open()
    await store.backup(backup)
    await store.close()
    path.write_text("ruined")
    shutil.copy(backup, path)
    await store.open()
    assert len((await store.list("")).entries) == 10
    with pytest.raises(RevisionConflict):
        await store.submit([Change("k0001", b"x", expect=0)])
    await store.close()


async def test_restoring_keeps_the_damaged_files_and_leaps_over_revisions(tmp_path: Path) -> None:
    path, backup = tmp_path / "state.db", tmp_path / "backup.db"
    await filled(path, keys=10)
    store = SqliteStore(path)
    await store.open()
    await store.submit([Change("k0001", None)])
    await store.backup(backup)
    seen_by_clients = await store.submit([Change("after", b"the backup")])
    await store.close()
    path.write_text("ruined")
    aside = restore(backup, path)
    assert aside is not None
    assert (aside / "state.db").read_text() == "ruined"
    await store.open()
    assert len((await store.list("")).entries) == 9
    with pytest.raises(Compacted):
        await store.list("", revision=seen_by_clients)
    assert await store.submit([Change("k0001", b"x", expect=0)]) == store.revision
    assert [events async for events in store.history("", store.compacted, store.revision)] != []
    await store.close()


async def test_a_store_in_use_is_not_restored_over(store: SqliteStore, tmp_path: Path) -> None:
    await store.backup(tmp_path / "backup.db")
    with pytest.raises(StoreInUse):
        restore(tmp_path / "backup.db", store.path)


def test_a_backup_that_is_not_there_restores_nothing(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("ruined")
    with pytest.raises(StoreError, match="no backup"):
        restore(tmp_path / "backup.db", tmp_path / "state.db")
    assert (tmp_path / "state.db").read_text() == "ruined"


async def test_an_emptied_file_does_not_pass_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    crash(path, "FULL", 0, 50)
    os.truncate(path, 0)
    with pytest.raises(StoreDamaged, match="is empty"):
        await SqliteStore(path).open()


async def test_a_backup_that_cannot_be_written_says_so(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await store.backup(tmp_path / "nowhere" / "backup.db")


# Compaction


async def test_compaction_gives_the_room_back_to_new_writes(store: SqliteStore) -> None:
    async def pages() -> int:
        for n in range(300):
            await store.submit([Change("k", b"%03d" % n * 1000)])
        await store.compact(store.revision)
        used: int = store._connection.execute("PRAGMA page_count").fetchone()[0]
        return used

    first = await pages()
    assert await pages() <= first * 1.2


async def test_a_sweep_that_a_crash_cut_short_is_finished_later(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.open()
    for n in range(10):
        await store.submit([Change("k", b"%d" % n)])
    store._connection.execute("UPDATE mark SET revision = 9 WHERE name = 'compacted'")
    await store.close()
    await store.open()
    assert store.compacted == 9
    await store.compact(9)
    assert store._connection.execute("SELECT count(*) FROM log").fetchone() == (2,)
    await store.close()


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FULL or NORMAL"):
        SqliteStore(tmp_path / "state.db", "OFF")  # type: ignore[arg-type]
