"""Build contexts that come from outside, and what Dockerfiles begin from."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path

import pytest

from motet.agent.images.building import _said, bases
from motet.agent.images.context import unpack, unpack_apart
from motet.agent.images.export import with_history
from motet.base.errors import BadRequest

DOCKERFILE = """\
ARG BASE=busybox:1
ARG VERSION
FROM --platform=linux/amd64 $BASE AS build
RUN FROM nowhere
from example.com/web:${VERSION:-2} as second
COPY --from=build /a /a
COPY --chown=1:1 --from=tools:3 /b /b
FROM scratch
COPY --from=1 /c /c
FROM build
"""


def test_what_a_dockerfile_begins_from_is_found() -> None:
    assert list(bases(DOCKERFILE, {})) == ["busybox:1", "example.com/web:2", "tools:3"]
    assert list(bases(DOCKERFILE, {"BASE": "other", "VERSION": "5"})) == ["other", "example.com/web:5", "tools:3"]


def archive(path: Path, *members: tuple[str, bytes, str], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
            else:
                member.linkname = content
                tar.addfile(member)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_context_is_unpacked_however_it_is_compressed(tmp_path: Path, mode: str) -> None:
    unpack(archive(tmp_path / "a.tar", ("d/file", tarfile.REGTYPE, "hello"), mode=mode), tmp_path / "to")
    assert (tmp_path / "to/d/file").read_text() == "hello"


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", tarfile.REGTYPE, "x")],
        [("link", tarfile.SYMTYPE, "/"), ("link/evil", tarfile.REGTYPE, "x")],
        [("link", tarfile.SYMTYPE, "../evil"), ("link", tarfile.REGTYPE, "x")],
        [("hard", tarfile.LNKTYPE, "../secret")],
        [("null", tarfile.CHRTYPE, "")],
        [("pipe", tarfile.FIFOTYPE, "")],
    ],
)
def test_nothing_is_written_outside_of_a_context(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "secret").write_text("kept")
    with pytest.raises(BadRequest):
        unpack(archive(tmp_path / "a.tar", *members), tmp_path / "to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "secret", "to"]


def test_links_may_point_outside(tmp_path: Path) -> None:
    unpack(archive(tmp_path / "a.tar", ("time", tarfile.SYMTYPE, "/etc/localtime")), tmp_path / "to")
    assert (tmp_path / "to/time").is_symlink()


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("nothing")
    with pytest.raises(BadRequest, match="cannot be unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "to")


def test_a_process_of_its_own_unpacks(tmp_path: Path) -> None:
    asyncio.run(unpack_apart(archive(tmp_path / "a.tar", ("d/file", tarfile.REGTYPE, "hello")), tmp_path / "to"))
    assert (tmp_path / "to/d/file").read_text() == "hello"
    bad = archive(tmp_path / "b.tar", ("../é", tarfile.REGTYPE, "x"))
    with pytest.raises(BadRequest, match=r"leads outside of itself with \.\./é"):
        asyncio.run(unpack_apart(bad, tmp_path / "other"))


def test_a_header_cannot_take_all_memory(tmp_path: Path) -> None:
    size = 3 * 1024**3
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, size
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        # Nothing is there: it takes no room on the disk.
        file.truncate(size + 10240)
    with pytest.raises(BadRequest, match="a header of its archive is too long"):
        asyncio.run(unpack_apart(tmp_path / "a.tar", tmp_path / "to"))


@pytest.mark.parametrize("lines", [3, 1000])
def test_whoever_hears_slowly_is_waited_for(lines: int) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue(2)

    async def build() -> str:
        for number in range(lines):
            await queue.put(str(number))
        return "image"

    async def work() -> list[str]:
        building = asyncio.ensure_future(build())
        heard = []
        async for line in _said(building, queue):
            assert queue.qsize() <= 2
            heard.append(line)
        assert await building == "image"
        return heard

    assert asyncio.run(work()) == [str(number) for number in range(lines)]


def test_histories_account_for_every_layer() -> None:
    whole = {"history": [{"created_by": "ADD"}, {"empty_layer": True}]}
    assert with_history(whole, 1) is None
    assert with_history({"os": "linux"}, 2) == {"os": "linux", "history": [{"created_by": "unknown"}] * 2}
