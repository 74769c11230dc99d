"""What goes over the wire of an interactive process."""

from __future__ import annotations

import msgspec
import pytest

from motet.client import channels


def status(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (status(status="Success"), (0, "")),
        (
            status(
                status="Failure",
                reason="NonZeroExitCode",
                details={"causes": [{"reason": "ExitCode", "message": "7"}]},
            ),
            (7, ""),
        ),
        (
            status(status="Failure", message="exec: executable file not found in $PATH"),
            (127, "exec: executable file not found in $PATH"),
        ),
        (status(status="Failure", message="permission denied"), (126, "permission denied")),
        (b"{", (1, "unreadable answer: b'{'")),
    ],
)
def test_the_last_status_gives_the_exit_code(told: bytes, outcome: tuple[int, str]) -> None:
    assert channels.outcome(told) == outcome


def test_frames_begin_with_their_channel() -> None:
    assert channels.frame(channels.STDIN, b"ab") == b"\x00ab"
    assert channels.end_of_input() == b"\xff\x00"
    assert channels.resized(80, 24) == b'\x04{"Width":80,"Height":24}'


def test_a_terminal_has_no_standard_error_of_its_own() -> None:
    query = dict(channels.parameters(["sh"], "", stdin=True, tty=True))
    assert (query["stderr"], query["tty"]) == ("false", "true")
    assert channels.parameters(["a", "b"], "c", stdin=False, tty=False) == [
        ("command", "a"),
        ("command", "b"),
        ("stdin", "false"),
        ("stdout", "true"),
        ("stderr", "true"),
        ("tty", "false"),
        ("container", "c"),
    ]
