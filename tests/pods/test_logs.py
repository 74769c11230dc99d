from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.base.clock import FakeClock, SystemClock
from motet.pods import logs
from motet.pods.logs import LogQuery, LogsGone


def line(text: str, second: int = 0, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-01-01T00:00:{second:02}.123456789Z {stream} {tag} {text}\n"


async def never() -> bool:
    return False


async def read(path: Path, query: LogQuery = LogQuery()) -> bytes:
    return b"".join([piece async for piece in logs.read(str(path), query, SystemClock(), never)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text("".join(line(f"l{i}", i) for i in range(10)))
    return path


async def test_the_containers_own_text_comes_back(log: Path):
    assert await read(log) == b"".join(b"l%d\n" % i for i in range(10))


async def test_parts_of_a_line_are_joined(tmp_path: Path):
    path = tmp_path / "0.log"
    path.write_text(line("one ", tag="P") + line("line") + line("next"))
    assert await read(path, LogQuery(timestamps=True)) == (
        b"2026-01-01T00:00:00.123456789Z one line\n2026-01-01T00:00:00.123456789Z next\n"
    )


async def test_tail_since_and_limit(log: Path):
    assert await read(log, LogQuery(tail=2)) == b"l8\nl9\n"
    assert await read(log, LogQuery(tail=0)) == b""
    since = datetime(2026, 1, 1, 0, 0, 8, tzinfo=UTC)
    assert await read(log, LogQuery(since=since)) == b"l8\nl9\n"
    assert await read(log, LogQuery(limit_bytes=4)) == b"l0\nl"


async def test_one_stream_alone(tmp_path: Path):
    path = tmp_path / "0.log"
    path.write_text(line("out") + line("err", stream="stderr"))
    assert await read(path, LogQuery(stream="stderr")) == b"err\n"


async def test_an_unfinished_line_waits(tmp_path: Path):
    path = tmp_path / "0.log"
    path.write_text(line("whole") + "2026-01-01T00:00:00Z stdout F ha")
    assert await read(path) == b"whole\n"


async def test_rotated_files_are_read_before_the_one_in_use(log: Path):
    logs.set_aside(str(log), datetime(2026, 1, 1, tzinfo=UTC))
    log.write_text(line("new"))
    assert (await read(log)).endswith(b"l9\nnew\n")
    assert await read(log, LogQuery(tail=2)) == b"l9\nnew\n"


def test_only_so_many_rotated_files_are_kept(tmp_path: Path):
    path = tmp_path / "0.log"
    for second in range(9):
        path.write_text(line(str(second)))
        logs.set_aside(str(path), datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC))
    path.write_text("")
    kept = logs.files(str(path))
    assert len(kept) == logs.KEPT_FILES
    assert "8" in kept[-2].read_text()


async def test_no_file_is_an_error(tmp_path: Path):
    with pytest.raises(LogsGone):
        await read(tmp_path / "0.log")


async def test_following_crosses_a_rotation_and_ends_with_the_writer(log: Path):
    clock, heard, writes = FakeClock(), [], [True]

    async def writing() -> bool:
        return writes[0]

    async def follow() -> None:
        async for piece in logs.read(str(log), LogQuery(follow=True, tail=1), clock, writing):
            heard.append(piece)

    task = asyncio.create_task(follow())
    await clock.advance(1)
    with log.open("a") as opened:
        opened.write(line("before"))
    logs.set_aside(str(log), datetime(2026, 1, 1, tzinfo=UTC))
    log.write_text(line("after"))
    await clock.advance(1)
    writes[0] = False
    await clock.advance(1)
    await asyncio.wait_for(task, 1)
    assert b"".join(heard) == b"l9\nbefore\nafter\n"


def test_last_words_are_the_end_of_the_log(log: Path):
    assert b"".join(logs.tail(str(log), 3, 1000)) == b"l7\nl8\nl9\n"


@given(st.integers(0, 30), st.integers(0, 40))
async def test_tail_is_the_end_of_everything(tmp_path_factory: pytest.TempPathFactory, count: int, tail: int):
    path = tmp_path_factory.mktemp("log") / "0.log"
    path.write_text("".join(line(f"l{i}") for i in range(count)))
    expected = [f"l{i}\n".encode() for i in range(count)][max(0, count - tail) :]
    assert await read(path, LogQuery(tail=tail)) == b"".join(expected)
