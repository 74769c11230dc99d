"""Log lines in Docker's frames."""

import pytest

from motet.dialects.docker import logs
from motet.dialects.docker.errors import DockerError

LINE = b"2026-01-31T10:20:30.5Z hello there"


def test_a_frame_says_its_stream_and_its_length() -> None:
    assert logs.frame(LINE, "", timestamps=False) == b"\x01\0\0\0\0\0\0\x0c" + b"hello there\n"


def test_time_and_details_go_before_the_text() -> None:
    assert logs.frame(LINE, "a=b", timestamps=True, stream=2)[8:] == b"2026-01-31T10:20:30.5Z a=b hello there\n"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"stdout": "1", "stderr": "1"}, {"timestamps": "true"}),
        ({"stderr": "1"}, {"timestamps": "true", "stream": "Stderr"}),
        ({"stdout": "1", "stderr": "1", "tail": "5"}, {"timestamps": "true", "tailLines": "5"}),
        ({"stdout": "1", "stderr": "1", "since": "60.5"}, {"timestamps": "true", "sinceTime": "1970-01-01T00:01:00Z"}),
    ],
)
def test_dockers_options_are_the_kernels(query: dict[str, str], found: dict[str, str]) -> None:
    assert logs.options(query) == found


@pytest.mark.parametrize("query", [{}, {"stdout": "1", "tail": "x"}, {"stdout": "1", "since": "x"}])
def test_what_makes_no_sense_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(DockerError):
        logs.options(query)
