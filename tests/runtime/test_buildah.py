"""How buildah is run: what it says, how it fails, and that it has time to take away what it has begun."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from motet.runtime.buildah import Buildah, BuildFailed

SCRIPT = """#!/bin/sh
shift 4
case $1 in
  say) echo one; echo two >&2; echo three;;
  fail) echo why >&2; exit 3;;
  last) trap 'echo cleaning; echo cleaning >&2; touch "$2"; exit 1' TERM; echo begun; sleep 60 & wait;;
  mask) umask;;
esac
"""


@pytest.fixture
def buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Buildah:
    program = tmp_path / "bin" / "buildah"
    program.parent.mkdir()
    program.write_text(SCRIPT)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return Buildah(tmp_path / "storage")


def test_what_it_says_is_heard_and_its_output_returned(buildah: Buildah) -> None:
    heard: list[str] = []
    assert asyncio.run(buildah.run(["say"], heard.append)) == "one\nthree"
    assert sorted(heard) == ["one", "three", "two"]


def test_its_last_words_explain_a_failure(buildah: Buildah) -> None:
    with pytest.raises(BuildFailed, match=r"^why$"):
        asyncio.run(buildah.run(["fail"]))


def test_images_are_readable_whatever_the_callers_mask_is(buildah: Buildah) -> None:
    assert asyncio.run(buildah.run(["mask"])) == "0022"


def test_broken_off_it_may_still_take_away_what_it_has_begun(buildah: Buildah, tmp_path: Path) -> None:
    async def work() -> None:
        begun = asyncio.Event()
        running = asyncio.create_task(buildah.run(["last", str(tmp_path / "cleaned")], lambda _: begun.set()))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(work())
    assert (tmp_path / "cleaned").exists()
