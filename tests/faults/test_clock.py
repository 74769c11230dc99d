"""A node whose clock is ten minutes off, either way: its agent runs under libfaketime."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.bed import Bed, plain, until
from tests.faults.test_manager import alive

from motet.kinds import pod

_LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
_SHARED = Path("/dev/shm")


@pytest.fixture
def no_rests() -> Iterator[None]:
    before = set(_SHARED.glob("*faketime*"))
    yield
    for path in set(_SHARED.glob("*faketime*")) - before:
        path.unlink()


@pytest.mark.skipif(_LIBRARY is None, reason="needs libfaketime: scripts/setup dev")
@pytest.mark.parametrize(("offset", "said"), [("+600s", "10 minutes ahead of"), ("-600s", "10 minutes behind")])
def test_a_clock_that_is_ten_minutes_off_is_told_and_harms_nobody(
    bed: Bed, no_rests: None, offset: str, said: str
) -> None:
    before = alive(bed)
    with bed.load(each=1) as load:
        bed.stop("n2")
        # Timers are those of the kernel; only what time it is, is wrong.
        fake = {"LD_PRELOAD": str(_LIBRARY), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        bed.start("n2", fake)
        skewed = time.monotonic()
        until(lambda: said in bed.condition("n2", "ClockSkew").get("message", ""), 60)
        assert said in bed.motet("node", "ls")
        assert said in bed.motet("status")
        bed.create(pod.KIND, plain("late", "n2"))
        until(lambda: bed.running("n2", "late"), 60, "it takes no pods")
        assert "n2" in bed.kubectl("exec", "late", "--", "sh", "-c", "echo n2")
        bed.request("DELETE", pod.KIND.path("default", "late"))
        until(lambda: not bed.running("n2", "late"), 60, "it gives up no pods")
        bed.whole()
        until(lambda: load.served(skewed) > 60, 20)
        bed.stop("n2")
        bed.start("n2")
        until(lambda: bed.condition("n2", "ClockSkew")["status"] == "False", 60)
    print(f"{load.answers} requests served, {len(load.failures)} failed")
    assert load.failures == []
    assert alive(bed) == before, "nothing was replaced or restarted"
