"""Encryption at rest: nothing readable on the disk, and nothing lost while keys change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from motet.server import atrest
from motet.store import backup
from motet.store.engine import Change, StoreError
from motet.store.sealing import Keys, Sealer
from motet.store.sqlite import SqliteStore, Synchronous

SECRET, OTHER = "core/secrets/default/password", "core/configmaps/default/settings"
PLAIN = b'{"data":{"password":"correct-horse-battery-staple"}}'


async def opened(folder: Path, sealer: Sealer | None, mode: Synchronous = "NORMAL") -> SqliteStore:
    store = SqliteStore(folder / "state.db", mode, sealer=sealer)
    await store.open()
    return store


def readable(folder: Path) -> list[str]:
    """The files in which the secret can be read."""
    return [path.name for path in folder.rglob("*") if path.is_file() and b"correct-horse" in path.read_bytes()]


@pytest.fixture(params=["FULL", "NORMAL"])
def mode(request: pytest.FixtureRequest) -> Synchronous:
    found: Synchronous = request.param
    return found


async def test_secrets_are_on_no_page_of_the_disk_and_are_read_as_they_were(tmp_path: Path, mode: Synchronous) -> None:
    sealer = Sealer(Keys.load_or_create(tmp_path / "keys"))
    store = await opened(tmp_path, sealer, mode)
    await store.submit([Change(SECRET, PLAIN)])
    await store.submit([Change(SECRET, PLAIN + b" ")])
    await store.submit([Change(OTHER, b"correct-horse is no secret here")])
    assert readable(tmp_path) == ["state.db-wal"]  # the ConfigMap
    await store.submit([Change(OTHER, b"x")])
    entry = await store.get(SECRET)
    assert entry is not None
    assert entry.value == PLAIN + b" "
    past = await store.get(SECRET, 1)
    assert past is not None
    assert past.value == PLAIN
    await store.close()


async def test_watchers_see_plain_values(tmp_path: Path) -> None:
    store = await opened(tmp_path, Sealer(Keys.new()))
    await store.submit([Change(SECRET, PLAIN)])
    async for events in store.watch("core/secrets/", 0):
        assert [event.value for event in events] == [PLAIN]
        break
    await store.close()


async def test_what_was_written_before_there_were_keys_is_sealed_and_wiped(tmp_path: Path, mode: Synchronous) -> None:
    store = await opened(tmp_path, None, mode)
    for number in range(600):  # more than one job's worth
        await store.submit([Change(f"{SECRET}-{number}", PLAIN)])
    await store.close()
    assert readable(tmp_path)
    store = await opened(tmp_path, Sealer(Keys.new()), mode)
    assert await store.reseal() == 600
    assert readable(tmp_path) == []
    found = await store.list("core/secrets/")
    assert {entry.value for entry in found.entries} == {PLAIN}
    assert await store.reseal() == 0
    await store.close()


async def test_a_new_key_takes_over_and_the_old_one_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    sealer = Sealer(Keys.load_or_create(path))
    store = await opened(tmp_path, sealer)
    await store.submit([Change(SECRET, PLAIN)])
    old = Keys.load(path)
    old.rotated().save(path)
    await atrest.renew(store, sealer, path)
    now = Keys.load(path)
    assert list(now.keys) == [now.primary]
    assert now.primary != old.primary
    await store.close()
    store = await opened(tmp_path, Sealer(now))
    entry = await store.get(SECRET)
    assert entry is not None
    assert entry.value == PLAIN
    await store.close()


async def test_a_crash_while_keys_change_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    store = await opened(tmp_path, Sealer(Keys.load_or_create(path)))
    await store.submit([Change(SECRET, PLAIN)])
    await store.close()
    Keys.load(path).rotated().save(path)  # and nothing else happened
    store = await opened(tmp_path, Sealer(Keys.load(path)))
    entry = await store.get(SECRET)
    assert entry is not None
    await store.reseal()  # and the older key was not forgotten
    await store.close()
    store = await opened(tmp_path, Sealer(Keys.load(path)))
    assert await store.reseal() == 0
    await store.close()


async def test_writes_go_on_while_everything_is_sealed_anew(tmp_path: Path) -> None:
    sealer = Sealer(Keys.new())
    store = await opened(tmp_path, sealer, "FULL")
    for number in range(300):
        await store.submit([Change(f"{SECRET}-{number}", PLAIN)])
    sealer.use(sealer.keys.rotated())
    writes = [store.submit([Change(f"{SECRET}-{number}", PLAIN)]) for number in range(300)]
    await asyncio.gather(store.reseal(), *writes)
    sealer.use(sealer.keys.only_primary())
    found = await store.list("core/secrets/")
    assert len(found.entries) == 300
    await store.close()


async def test_without_its_key_a_secret_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    store = await opened(tmp_path, Sealer(Keys.new()))
    await store.submit([Change(SECRET, PLAIN)])
    await store.close()
    store = await opened(tmp_path, Sealer(Keys.new()))
    with pytest.raises(StoreError, match=r"put the file secrets\.keys"):
        await store.get(SECRET)
    await store.close()


def test_a_value_moved_to_another_key_does_not_open() -> None:
    sealer = Sealer(Keys.new())
    sealed = sealer.seal(SECRET, PLAIN)
    with pytest.raises(StoreError, match="was changed on the disk"):
        sealer.open("core/secrets/default/other", sealed)


async def test_a_backup_holds_secrets_sealed(tmp_path: Path) -> None:
    store = await opened(tmp_path, Sealer(Keys.new()))
    await store.submit([Change(SECRET, PLAIN)])
    (tmp_path / "backups").mkdir()
    backup.take(tmp_path / "state.db", tmp_path / "backups" / "copy")
    assert readable(tmp_path / "backups") == []
    await store.close()


@pytest.mark.parametrize("text", [b"", b"[]", b"nonsense", b'[{"id": "AAAA", "key": "AAAA"}]'])
def test_a_damaged_key_file_is_refused_and_left_alone(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(text)
    with pytest.raises(StoreError, match="keys of secrets"):
        Keys.load_or_create(path)
    assert path.read_bytes() == text
