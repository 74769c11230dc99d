from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.pods import payload
from motet.pods.payload import File


def shown(directory: Path) -> dict[str, str]:
    """What a program that lists the volume sees."""
    found = {}
    for top in sorted(directory.iterdir()):
        if not top.name.startswith(".."):
            files = [top] if top.is_file() else [path for path in top.resolve().rglob("*") if path.is_file()]
            for file in files:
                name = top.name if file == top else f"{top.name}/{file.relative_to(top.resolve())}"
                found[name] = file.read_text()
    return found


def test_files_and_directories_appear_with_their_modes(tmp_path: Path):
    assert payload.write(tmp_path, {"a": File(b"1", 0o400), "d/e": File(b"2")})
    assert shown(tmp_path) == {"a": "1", "d/e": "2"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400


def test_the_same_again_changes_nothing(tmp_path: Path):
    payload.write(tmp_path, {"a": File(b"1")})
    before = os.readlink(tmp_path / "..data")
    assert not payload.write(tmp_path, {"a": File(b"1")})
    assert os.readlink(tmp_path / "..data") == before


def test_a_change_swaps_all_files_at_once_and_drops_the_old_version(tmp_path: Path):
    payload.write(tmp_path, {"a": File(b"1"), "gone": File(b"x")})
    held = (tmp_path / "a").open()
    payload.write(tmp_path, {"a": File(b"2"), "new": File(b"y")})
    assert shown(tmp_path) == {"a": "2", "new": "y"}
    assert held.read() == "1"
    held.close()
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def test_a_half_written_version_of_a_dead_agent_is_no_hindrance(tmp_path: Path):
    payload.write(tmp_path, {"a": File(b"1")})
    (tmp_path / "..2").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..2")
    payload.write(tmp_path, {"a": File(b"2")})
    assert shown(tmp_path) == {"a": "2"}


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../../b", "..data/x"])
def test_paths_that_lead_out_are_refused(path: str):
    assert payload.path_problem(path)


_names = st.sampled_from(["a", "b", "d/x", "d/y", "e/f/g"])


@given(st.lists(st.dictionaries(_names, st.binary(max_size=4)), max_size=5))
def test_after_any_row_of_writes_the_last_one_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, versions: list[dict[str, bytes]]
):
    directory = tmp_path_factory.mktemp("volume")
    for version in versions:
        payload.write(directory, {name: File(content) for name, content in version.items()})
        assert {name: (directory / name).read_bytes() for name in version} == version
        top = {name.split("/")[0] for name in version}
        assert {entry.name for entry in directory.iterdir() if not entry.name.startswith("..")} == top
