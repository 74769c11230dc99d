"""Schedules: what may be written, and when they come. The examples were checked against the reference implementation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.base import cron

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)  # a Thursday


def following(text: str, after: datetime = NOON, zone: str = "UTC") -> str:
    found = cron.parse(text).next(after, ZoneInfo(zone))
    return "never" if found is None else found.strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-01-01 12:01:00"),
        ("*/20 * * * *", "2026-01-01 12:20:00"),
        ("5/20 * * * *", "2026-01-01 12:05:00"),
        ("30 6-16/4 * * 1-5", "2026-01-01 14:30:00"),
        ("0 0 * * mon,WED", "2026-01-05 00:00:00"),
        ("0 0 1 feb ?", "2026-02-01 00:00:00"),
        ("0 0 13 * 5", "2026-01-02 00:00:00"),  # both days restricted: either will do
        ("0 0 13 * *", "2026-01-13 00:00:00"),
        ("0 0 */2 * 0", "2026-01-03 00:00:00"),  # a star with a step is a restriction
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 31 2 *", "never"),
        ("@hourly", "2026-01-01 13:00:00"),
        ("@weekly", "2026-01-04 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
        ("@every 1h30m", "2026-01-01 13:30:00"),
        ("@every 10ms", "2026-01-01 12:00:01"),
    ],
)
def test_the_next_time(text: str, expected: str) -> None:
    assert following(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty spec string"),
        ("1 2 3", r"expected exactly 5 fields, found 3: \[1 2 3\]"),
        ("60 * * * *", r"end of range \(60\) above maximum \(59\): 60"),
        ("* * 0 * *", r"beginning of range \(0\) below minimum \(1\): 0"),
        ("* * * * 7", r"end of range \(7\) above maximum \(6\): 7"),
        ("5-1 * * * *", r"beginning of range \(5\) beyond end of range \(1\): 5-1"),
        ("*/0 * * * *", r"step of range should be a positive number: \*/0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
    ],
)
def test_what_is_no_schedule_is_explained(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        cron.parse(text)


def test_times_are_those_of_the_place() -> None:
    assert following("0 9 * * *", zone="Asia/Tokyo") == "2026-01-02 00:00:00"


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        # New York's clocks went from 2 to 3 on 10 March 2024, and from 2 back to 1 on 3 November.
        ("30 2 * * *", datetime(2024, 3, 9, 12, tzinfo=UTC), "2024-03-11 06:30:00"),
        ("0 * * * *", datetime(2024, 3, 10, 6, 30, tzinfo=UTC), "2024-03-10 07:00:00"),
        ("30 1 * * *", datetime(2024, 11, 3, 4, tzinfo=UTC), "2024-11-03 05:30:00"),
        ("30 1 * * *", datetime(2024, 11, 3, 5, 30, tzinfo=UTC), "2024-11-03 06:30:00"),
    ],
)
def test_an_hour_that_is_left_out_is_skipped_and_one_that_comes_twice_counts_twice(
    text: str, after: datetime, expected: str
) -> None:
    assert following(text, after, "America/New_York") == expected


def test_a_day_that_is_left_out_does_not_stop_the_search() -> None:
    assert following("0 0 30,31 12 *", datetime(2011, 12, 29, 12, tzinfo=UTC), "Pacific/Apia") == "2011-12-30 10:00:00"


def part(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}"),
        st.integers(1, 9).map(lambda step: f"*/{step}"),
    )


schedules = st.tuples(part(0, 59), part(0, 23), part(1, 28), part(1, 12), part(0, 6)).map(" ".join)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda found: found.replace(tzinfo=UTC))


@settings(max_examples=60, deadline=None)
@given(text=schedules, after=instants)
def test_law_the_next_time_fits_and_no_minute_before_it_does(text: str, after: datetime) -> None:
    schedule = cron.parse(text)
    found = schedule.next(after)
    assert found is not None
    assert found > after

    def fits(at: datetime) -> bool:
        return (
            at.minute in schedule.minutes
            and at.hour in schedule.hours
            and at.month in schedule.months
            and schedule.on_day(at)
        )

    assert fits(found)
    at = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(2000):
        if at >= found:
            break
        assert not fits(at)
        at += timedelta(minutes=1)
