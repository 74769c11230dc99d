"""Files of a container, as the process reads and writes them that has the container's root for its own."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from motet.agent import filework
from motet.agent.fileroot import Doors
from motet.agent.filework import Refused

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


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


def test_a_member_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "into" / "twin").hardlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "into" / "pipe")
    (tmp_path / "into" / "folder" / "full").mkdir(parents=True)
    names = ("link", "twin", "pipe", "folder")
    filework.write(f"{tmp_path}/into", packed(**dict.fromkeys(names, "new")), io.BytesIO(), [])
    assert [(tmp_path / "into" / name).read_text() for name in names] == ["new"] * 4
    assert (tmp_path / "elsewhere").read_text() == "kept"


_CONTAINER = """
import ctypes, os, sys
libc, root = ctypes.CDLL(None), sys.argv[1].encode()
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(root, root, None, 0x1000, None) == 0
assert libc.mount(b"proc", root + b"/a proc", b"proc", 0, None) == 0
os.chroot(root)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def container(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with mounts of its own and the root `tmp_path/root`, which has the node's processes in `/a proc`."""
    (tmp_path / "root" / "a proc").mkdir(parents=True)
    command = [sys.executable, "-c", _CONTAINER, str(tmp_path / "root")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def work(pid: int, *words: str, body: bytes = b"") -> bytes:
    """What the process says that works in the container of process `pid`."""
    doors = Doors.of(pid)
    command = [sys.executable, "-I", "-m", "motet.agent.filework", str(doors.namespace), str(doors.root), *words]
    try:
        descriptors = (doors.namespace, doors.root)
        return subprocess.run(command, input=body, stdout=subprocess.PIPE, timeout=30, pass_fds=descriptors).stdout
    finally:
        doors.close()


@needs_root
def test_the_nodes_own_root_is_nobodys_container() -> None:
    assert work(os.getpid(), "stat", "/etc") == b"conflict the container is not running\n"


@needs_root
def test_the_roots_of_other_processes_are_out_of_reach(tmp_path: Path, container: subprocess.Popen[bytes]) -> None:
    (tmp_path / "secret").write_text("the node's")
    (tmp_path / "root" / "conf").symlink_to(f"/a proc/{os.getpid()}/root{tmp_path}")
    assert work(container.pid, "read", "/conf/secret").startswith(b"missing ")
    archive = packed(**{"conf/planted": "x"}).getvalue()
    assert not work(container.pid, "write", "/", body=archive).startswith(b"ok")
    assert not (tmp_path / "planted").exists()


@needs_root
def test_a_device_is_replaced_and_never_opened(tmp_path: Path, container: subprocess.Popen[bytes]) -> None:
    for name in ("conf", "other"):
        os.mknod(tmp_path / "root" / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert work(container.pid, "write", "/", body=packed(conf="mine").getvalue()) == b"ok \n"
    assert (tmp_path / "root" / "conf").read_text() == "mine"
    entered = (
        "import sys; from motet.agent import fileroot; doors = fileroot.Doors.of(int(sys.argv[1])); fileroot.enter(doors)\n"
        "for name in ('/other', '/conf'):\n"
        "    try: print(len(open(name).read()))\n"
        "    except OSError as error: print(error.strerror)\n"
        "import os; os.setgid(1)"
    )
    command = [sys.executable, "-c", entered, str(container.pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "Permission denied\n4\n"
    assert "Operation not permitted" in done.stderr
