"""Times as Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from motet.base import timestamps


def test_years_have_four_digits() -> None:
    early = datetime(1, 1, 1, 0, 0, 2, tzinfo=UTC)
    assert timestamps.format_time(early) == "0001-01-01T00:00:02Z"
    assert timestamps.format_micro_time(early) == "0001-01-01T00:00:02.000000Z"


def test_other_time_zones_become_utc() -> None:
    east = datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=2)))
    assert timestamps.format_time(east) == "2026-01-30T23:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_can_be_read(instant: datetime) -> None:
    assert timestamps.parse_time(timestamps.format_micro_time(instant)) == instant
