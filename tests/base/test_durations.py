import pytest

from motet.base.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("5m0s", 300), ("90s", 90), ("500ms", 0.5), ("0", 0), ("1.5h", 5400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "-1s", "1d", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
