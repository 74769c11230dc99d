"""Files of a container, as the process reads and writes them that has the container's root for its own."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from motet.agent import filework
from motet.agent.filework import Refused


def packed(**files: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.uid = len(text), os.getuid()
            archive.addfile(member, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


def unpacked(output: io.BytesIO) -> tuple[dict[str, object], dict[str, tarfile.TarInfo]]:
    """(what the path is, the members of the archive)."""
    head, _, rest = output.getvalue().partition(b"\n")
    with tarfile.open(fileobj=io.BytesIO(rest)) as archive:
        return json.loads(head.removeprefix(b"ok ")), {member.name: member for member in archive}


def read(path: str) -> tuple[dict[str, object], dict[str, tarfile.TarInfo]]:
    output = io.BytesIO()
    filework.read(path, output)
    return unpacked(output)


def test_a_directory_is_read_below_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("text")
    told, members = read(f"{tmp_path}/there")
    assert told["name"] == "there"
    assert sorted(members) == ["there", "there/file"]
    assert sorted(read(f"{tmp_path}/there/.")[1]) == [".", "./file"]


def test_a_link_is_itself_and_followed_only_where_a_directory_is_meant(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    told, members = read(f"{tmp_path}/link")
    assert (told["linkTarget"], members["link"].issym()) == (f"{tmp_path}/there", True)
    assert "there" in read(f"{tmp_path}/link/")[1]


def test_modes_are_gos() -> None:
    assert filework.go_mode(stat.S_IFDIR | 0o755) == (1 << 31) | 0o755
    assert filework.go_mode(stat.S_IFREG | stat.S_ISUID | 0o755) == (1 << 23) | 0o755
    assert filework.go_mode(stat.S_IFLNK | 0o777) == (1 << 27) | 0o777


@pytest.mark.parametrize(("path", "word"), [("nothing", "missing"), ("file/", "bad"), ("file/x", "missing")])
def test_what_cannot_be_read_is_said_in_dockers_words(tmp_path: Path, path: str, word: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=f"^{word} "):
        read(f"{tmp_path}/{path}")


def test_an_archive_goes_into_a_directory(tmp_path: Path) -> None:
    filework.write(str(tmp_path), packed(a="1", **{"b/c": "2"}), io.BytesIO(), ["copyUIDGID"])
    assert ((tmp_path / "a").read_text(), (tmp_path / "b" / "c").read_text()) == ("1", "2")


@pytest.mark.parametrize(("path", "word"), [("nothing", "missing"), ("file", "bad")])
def test_only_directories_take_archives(tmp_path: Path, path: str, word: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=f"^{word} "):
        filework.write(f"{tmp_path}/{path}", packed(a="1"), io.BytesIO(), [])


def test_a_directory_is_not_replaced_by_a_file_unless_it_may(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Refused, match="cannot overwrite directory"):
        filework.write(str(tmp_path), packed(a="1"), io.BytesIO(), ["noOverwriteDirNonDir"])


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no tar archive"):
        filework.write(str(tmp_path), io.BytesIO(b"x" * 2048), io.BytesIO(), [])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_nodes_own_root_is_nobodys_container() -> None:
    command = [sys.executable, "-I", "-m", "motet.agent.filework", str(os.getpid()), "stat", "/etc"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "conflict the container is not running\n"
