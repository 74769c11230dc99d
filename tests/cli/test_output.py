"""Tables, structured output, colours and progress."""

from __future__ import annotations

import io

import pytest
import yaml

from motet.cli import output
from motet.cli.progress import Line, Plain


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert output.table(["NAME", "AGE"], [["web", "1s"], ["database", ""]]) == "NAME       AGE\nweb        1s\ndatabase"


def test_a_table_without_rows_is_nothing() -> None:
    assert output.table(["NAME"], []) == ""


def test_structured_output_is_what_programs_read() -> None:
    assert output.structured({"a": [1]}, "json") == '{\n  "a": [\n    1\n  ]\n}'
    assert yaml.safe_load(output.structured({"a": [1]}, "yaml")) == {"a": [1]}


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.paint("x", "red", Terminal()) != "x"
    assert output.paint("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.paint("x", "red", Terminal()) == "x"


def test_text_from_outside_cannot_play_with_the_terminal() -> None:
    assert output.clean("a\x1b[31mb\nc\x07") == "a [31mb c"


def test_plain_progress_tells_only_what_changed() -> None:
    told: list[str] = []
    with Plain(told.append) as progress:
        progress.say("going")
        progress.say("going")
        progress.show([Line("a", "starting", "x"), Line("b", "waiting")])
        progress.show([Line("a", "starting", "x"), Line("b", "ready")])
    assert told == ["going", "a: starting, x", "b: waiting", "b: ready"]
