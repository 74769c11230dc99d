from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.kinds.ages import UNKNOWN, duration, since

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-2, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (5 * HOUR + 10 * MINUTE, "5h10m"),
        (8 * HOUR, "8h"),
        (47 * HOUR + 59 * MINUTE, "47h"),
        (48 * HOUR, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 10 * DAY, "2y10d"),
        (8 * YEAR + 5 * DAY, "8y"),
    ],
)
def test_a_duration_reads_as_kubectl_prints_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(st.floats(min_value=0, max_value=1e10))
def test_a_duration_is_never_longer_than_a_column_likes(seconds: float) -> None:
    assert len(duration(seconds)) <= 6


def test_an_unknown_instant_has_an_unknown_age() -> None:
    assert since(None, datetime(2026, 1, 1, tzinfo=UTC)) == UNKNOWN


def test_micro_times_have_an_age_too() -> None:
    assert since("2026-01-01T00:00:00.500000Z", datetime(2026, 1, 1, 0, 5, 0, 600000, tzinfo=UTC)) == "5m"
