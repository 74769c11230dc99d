"""Log lines in Docker's frames."""

import pytest

from motet.dialects.docker import logs
from motet.dialects.docker.errors import DockerError

LINE = logs.Line("2026-01-31T10:20:30.5Z", 1, b"hello there\n")


def test_a_line_of_the_nodes_says_its_time_and_its_stream() -> None:
    assert logs.parse(b"2026-01-31T10:20:30.5Z stderr no  way\n") == logs.Line(LINE.time, 2, b"no  way\n")
    assert logs.parse(b"2026-01-31T10:20:30.5Z stdout \n") == logs.Line(LINE.time, 1, b"\n")


def test_what_continues_a_line_is_of_the_same_stream() -> None:
    assert logs.parse(b"and so on", 2) == logs.Line("", 2, b"and so on")


def test_a_frame_says_its_stream_and_its_length() -> None:
    assert logs.frame(LINE, "", timestamps=False) == b"\x01\0\0\0\0\0\0\x0c" + b"hello there\n"


def test_time_and_details_go_before_the_text() -> None:
    line = LINE._replace(stream=2)
    assert logs.frame(line, "a=b", timestamps=True)[8:] == b"2026-01-31T10:20:30.5Z a=b hello there\n"


NAMED = {"timestamps": "true", "named": "true"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"stdout": "1", "stderr": "1"}, NAMED),
        ({"stderr": "1"}, {**NAMED, "stream": "Stderr"}),
        ({"stdout": "1", "stderr": "1", "tail": "5"}, {**NAMED, "tailLines": "5"}),
        ({"stdout": "1", "tail": "5"}, {**NAMED, "tailLines": "5"}),
        (
            {"stdout": "1", "stderr": "1", "since": "60.500000001"},
            {**NAMED, "sinceTime": "1970-01-01T00:01:00.500000Z"},
        ),
    ],
)
def test_dockers_options_are_the_kernels(query: dict[str, str], found: dict[str, str]) -> None:
    assert logs.options(query) == found


@pytest.mark.parametrize("query", [{}, {"stdout": "1", "tail": "x"}, {"stdout": "1", "since": "x"}])
def test_what_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(DockerError):
        logs.options(query)
