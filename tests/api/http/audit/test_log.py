"""The file of the audit log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from motet.api.http.audit.log import AuditLog
from motet.base.clock import FakeClock, SystemClock


async def test_lines_reach_the_file_a_moment_later_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "logs/audit.log", SystemClock())
    running = asyncio.create_task(log.run())
    try:
        log.write(b"{}")
        log.write(b"[]")
        async with asyncio.timeout(5):
            # The file is there before what is in it.
            while not ((found := tmp_path / "logs/audit.log").exists() and found.stat().st_size):
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
    assert (tmp_path / "logs/audit.log").read_text() == "{}\n[]\n"
    assert (tmp_path / "logs/audit.log").stat().st_mode & 0o777 == 0o600


def test_what_is_left_at_the_end_is_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", FakeClock())
    log.write(b"last")
    log.flush()
    assert (tmp_path / "audit.log").read_text() == "last\n"


def test_a_large_file_is_set_aside_and_old_ones_go(tmp_path: Path) -> None:
    class Later(FakeClock):
        def now(self):  # type: ignore[no-untyped-def]
            self._move_to(self.monotonic() + 1)
            return super().now()

    log = AuditLog(tmp_path / "audit.log", Later(), largest=10, kept=2)
    for number in range(5):
        log.write(b"line number %d" % number)
        log.flush()
    kept = sorted(path.read_text() for path in tmp_path.iterdir())
    assert kept == ["line number 3\n", "line number 4\n"]


def test_when_the_disk_does_not_keep_up_lines_are_counted_and_nobody_waits(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", FakeClock(), waiting=10)
    for _ in range(3):
        log.write(b"123456")
    assert log.dropped == 2


def test_a_file_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = AuditLog(tmp_path / "file/audit.log", FakeClock())
    log.write(b"x")
    log.flush()
    assert log.dropped == 1
