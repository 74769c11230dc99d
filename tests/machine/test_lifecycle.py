"""What is told of a start that comes to nothing."""

from pathlib import Path

from motet.machine.lifecycle import _last_words


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
