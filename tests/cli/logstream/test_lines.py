"""Lines of several logs become one log."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from motet.cli.logstream.lines import LogLine, Splitter, Writer, in_order

LOG = b"2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z \xff two\n2026-01-01T00:00:03Z \n2026-01-01T00:00:04Z end"


@given(st.lists(st.integers(0, len(LOG)), max_size=6))
def test_lines_do_not_depend_on_how_they_are_cut_into_pieces(cuts: list[int]) -> None:
    splitter, found = Splitter("web-1"), []
    edges = [0, *sorted(cuts), len(LOG)]
    for start, end in itertools.pairwise(edges):
        found += splitter.feed(LOG[start:end])
    found += splitter.end()
    assert [(line.time[-3:], line.text) for line in found] == [
        ("01Z", b"one"),
        ("02Z", b"\xff two"),
        ("03Z", b""),
        ("04Z", b"end"),
    ]


def test_lines_are_put_in_order_and_those_of_one_source_stay_as_they_came() -> None:
    a1, a2, b1 = LogLine("2", "a", b"1"), LogLine("2", "a", b"2"), LogLine("1", "b", b"1")
    assert in_order([a1, a2, b1]) == [b1, a1, a2]


def test_names_stand_in_one_column() -> None:
    writer = Writer(times=False, colours=False)
    writer.announce(["db-1", "worker-1"])
    assert writer.text(LogLine("t", "db-1", b"x")) == b"db-1     | x\n"


def test_times_are_shown_when_asked_for() -> None:
    assert Writer(times=True, colours=False).text(LogLine("t", "a", b"x")) == b"a | t x\n"


def test_every_source_has_its_own_colour() -> None:
    writer = Writer(times=False, colours=True)
    first, second = writer.text(LogLine("t", "a", b"x")), writer.text(LogLine("t", "b", b"x"))
    assert first.startswith(b"\x1b[")
    assert first[:5] != second[:5]
