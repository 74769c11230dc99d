"""What is told of a start that comes to nothing, and what is removed in the end."""

import asyncio
from pathlib import Path

import pytest

from motet.base.errors import MotetError
from motet.machine.layout import Machine, Settings
from motet.machine.lifecycle import _last_words, _remove_data, remove


def test_a_part_that_ends_three_times_alike_is_given_up_with_its_own_words(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("error: the store is damaged\n" * 3)
    assert _last_words({log: 0}) == "the store is damaged"


def test_there_is_hope_while_the_words_differ_or_are_few(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("error: one\nerror: two\nerror: two\n")
    assert _last_words({log: 0}) == ""


def test_what_was_said_before_this_start_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("error: the store is damaged\n" * 3)
    assert _last_words({log: log.stat().st_size, tmp_path / "agent.log": 0}) == ""


def test_a_directory_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(MotetError, match="nothing was removed"):
        asyncio.run(remove(Machine(tmp_path)))
    assert (tmp_path / "logs").exists()


def test_the_data_goes_and_what_else_is_beside_it_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "data")
    machine.remember(Settings(node_name="n1", address="192.0.2.1"))
    for folder in machine.made[:-1]:
        (folder / "deep").mkdir(parents=True)
    (machine.data_dir / "mine").write_text("keep")
    _remove_data(machine)
    assert [path.name for path in machine.data_dir.iterdir()] == ["mine"]


def test_nothing_is_left_of_a_directory_that_was_only_motets(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "data")
    machine.remember(Settings(node_name="n1", address="192.0.2.1"))
    assert not machine.is_foreign
    _remove_data(machine)
    assert not machine.data_dir.exists()
