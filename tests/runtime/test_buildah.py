"""How buildah is run: what it says, how it fails, and that it has time to take away what it has begun."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from motet.base.errors import BadRequest
from motet.runtime.buildah import Buildah, BuildFailed

SCRIPT = """#!/bin/sh
shift 4
case $1 in
  say) echo one; echo two >&2; echo three;;
  fail) echo why >&2; exit 3;;
  last) trap 'echo cleaning; echo cleaning >&2; touch "$2"; exit 1' TERM; echo begun; sleep 60 & wait;;
  mask) umask;;
  long) head --bytes 3000000 /dev/zero | tr '\\0' x; echo; echo end;;
  build) while [ $# -gt 1 ]; do [ "$1" = --iidfile ] && echo sha256:built > "$2"; echo "$1"; shift; done
    echo "PASSWORD is $PASSWORD"; echo "PRELOAD is $LD_PRELOAD";;
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
    asyncio.run(buildah.run(["say"], heard.append))
    assert sorted(heard) == ["one", "three", "two"]
    assert asyncio.run(buildah.run(["say"])) == "one\nthree"


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


def test_build_arguments_are_in_no_command(buildah: Buildah, tmp_path: Path) -> None:
    heard: list[str] = []
    built = asyncio.run(buildah.build(tmp_path, "", heard.append, arguments={"PASSWORD": "secret", "VERSION": "2"}))
    assert built == "built"
    assert [heard[at + 1] for at, word in enumerate(heard) if word == "--build-arg"] == ["PASSWORD", "VERSION"]
    assert "PASSWORD is secret" in heard


def test_build_arguments_do_not_steer_buildah_itself(buildah: Buildah, tmp_path: Path) -> None:
    heard: list[str] = []
    asyncio.run(buildah.build(tmp_path, "", heard.append, arguments={"LD_PRELOAD": "evil.so", "PATH": "/evil"}))
    assert [heard[at + 1] for at, word in enumerate(heard) if word == "--build-arg"] == [
        "LD_PRELOAD=evil.so",
        "PATH=/evil",
    ]
    assert "PRELOAD is " in heard


@pytest.mark.parametrize("name", ["", "A=B"])
def test_what_can_be_no_build_argument_is_refused(buildah: Buildah, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot be a build argument"):
        asyncio.run(buildah.build(tmp_path, "", lambda _: None, arguments={name: "x"}))


def test_lines_of_any_length_are_heard_by_whoever_takes_their_time(buildah: Buildah) -> None:
    heard: list[str] = []
    hearing = 0

    async def say(line: str) -> None:
        nonlocal hearing
        hearing += 1
        await asyncio.sleep(0)
        assert hearing == 1
        hearing -= 1
        heard.append(line)

    # What is heard is not kept, too.
    assert asyncio.run(buildah.run(["long"], say)) == ""
    assert heard[-1] == "end"
    assert "".join(heard[:-1]) == "x" * 3_000_000
