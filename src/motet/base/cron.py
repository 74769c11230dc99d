"""Cron schedules as Kubernetes means them: five fields, macros and `@every`, in a time zone.

Which expressions there are, how day of month and day of week go together, and what happens when clocks are put forward or back,
follow robfig/cron v3, which CronJobs are defined by; no Python library agrees with it on all of that. Not followed are its endless
search where a place left out a whole day, and the week it loses where clocks move by half an hour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# Schedules such as the 31st of February never come; nobody waits longer than this to be told so.
_YEARS_AHEAD = 5


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, _MONTHS),
    _Bounds(0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something happens: sets of numbers, or (`every` > 0) so many seconds after each other."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    any_weekday: bool = False
    every: int = 0

    def on_day(self, local: datetime) -> bool:
        """Both fields must fit if either is `*`; otherwise one of them is enough."""
        day = local.day in self.days
        weekday = local.isoweekday() % 7 in self.weekdays
        return (day and weekday) if self.any_day or self.any_weekday else (day or weekday)

    def next(self, after: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first time later than `after` by the clocks of `zone`, in UTC; None when there is none for years."""
        if self.every:
            return after.replace(microsecond=0).astimezone(UTC) + timedelta(seconds=self.every)
        return _Search(self, after, zone).run()


def latest(schedule: Schedule, since: datetime, now: datetime, zone: tzinfo = UTC) -> tuple[datetime | None, int]:
    """The latest time after `since` and not after `now`, and about how many there were; (None, 0) for none."""
    first = schedule.next(since, zone)
    if first is None or first > now:
        return None, 0
    second = schedule.next(first, zone)
    if second is None or second > now:
        return first, 1
    gap = second - first
    missed = int((now - first) / gap) + 1
    # From about where the last time before now must be; as times are not evenly spaced, further back until there is one.
    found, back = None, 2
    while found is None:
        at = schedule.next(max(first, first + (missed - back) * gap), zone)
        while at is not None and at <= now:
            found, at = at, schedule.next(at, zone)
        back *= 2
    return found, missed


def parse(text: str) -> Schedule:
    """Read a schedule. Raises ValueError in the words of the reference."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(_EVERY):
        return Schedule(every=_every(text.removeprefix(_EVERY), text))
    if text.startswith("@"):
        if text not in _MACROS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    found = [_field(part, bounds) for part, bounds in zip(parts, _FIELDS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = found
    return Schedule(minutes, hours, days, months, weekdays, any_day, any_weekday)


def _every(text: str, whole: str) -> int:
    matches = list(_DURATION.finditer(text))
    if not matches or "".join(match[0] for match in matches) != text:
        raise ValueError(f'failed to parse duration {whole}: time: invalid duration "{text}"')
    return max(1, int(sum(float(match[1]) * _UNITS[match[2]] for match in matches)))


def _field(text: str, bounds: _Bounds) -> tuple[frozenset[int], bool]:
    numbers: set[int] = set()
    star = False
    for part in filter(None, text.split(",")):
        some, starred = _range(part, bounds)
        numbers |= some
        star |= starred
    return frozenset(numbers), star


def _range(text: str, bounds: _Bounds) -> tuple[set[int], bool]:
    span, *steps = text.split("/")
    ends = span.split("-")
    star = ends[0] in ("*", "?")
    if star:
        low, high = bounds.low, bounds.high
    else:
        if len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
        low, high = _named(ends[0], bounds), _named(ends[-1], bounds)
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0]) if steps else 1
    if steps and len(ends) == 1:
        high = bounds.high  # `3/15` is from 3 to the end
    if low < bounds.low:
        raise ValueError(f"beginning of range ({low}) below minimum ({bounds.low}): {text}")
    if high > bounds.high:
        raise ValueError(f"end of range ({high}) above maximum ({bounds.high}): {text}")
    if low > high:
        raise ValueError(f"beginning of range ({low}) beyond end of range ({high}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return set(range(low, high + 1, step)), star and step == 1


def _named(text: str, bounds: _Bounds) -> int:
    found = bounds.names.get(text.lower())
    return _number(text) if found is None else found


def _number(text: str) -> int:
    try:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
    except ValueError:
        number = None
    if number is None:
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number


class _Search:
    """Going forward from an instant, largest unit first; a unit that overflows begins the search anew."""

    def __init__(self, schedule: Schedule, after: datetime, zone: tzinfo) -> None:
        self._schedule = schedule
        self._zone = zone
        self._at = after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        # Whether smaller units have been set to their beginning already.
        self._floored = False

    def run(self) -> datetime | None:
        last_year = self._local().year + _YEARS_AHEAD
        while self._local().year <= last_year:
            if self._month() and self._day() and self._hour() and self._minute():
                return self._at
        return None

    def _local(self) -> datetime:
        return self._at.astimezone(self._zone)

    def _set(self, year: int, month: int, day: int, hour: int = 0) -> None:
        """A local time, which need not exist: the one Go's time package takes for it."""
        year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
        plain = datetime(year, month, 1, hour, tzinfo=UTC) + timedelta(days=day - 1)
        guess = self._offset(plain)
        offset = self._offset(plain - guess) if guess else guess
        self._at = plain - offset

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self._zone).utcoffset() or timedelta()

    def _month(self) -> bool:
        while (local := self._local()).month not in self._schedule.months:
            if not self._floored:
                self._floored = True
                self._set(local.year, local.month, 1)
                local = self._local()
            self._set(local.year, local.month + 1, local.day, local.hour)
            if self._local().month == 1:
                return False
        return True

    def _day(self) -> bool:
        while not self._schedule.on_day(local := self._local()):
            if not self._floored:
                self._floored = True
                self._set(local.year, local.month, local.day)
                local = self._local()
            before = self._at
            self._set(local.year, local.month, local.day + 1, local.hour)
            if self._at <= before:  # a place that left out a whole day, where the reference would search for ever
                self._at = before + timedelta(days=1)
            hour = self._local().hour
            if hour:  # midnight was skipped or came twice
                self._at += timedelta(hours=24 - hour if hour > 12 else -hour)
            if self._local().day == 1:
                return False
        return True

    def _hour(self) -> bool:
        while (local := self._local()).hour not in self._schedule.hours:
            if not self._floored:
                self._floored = True
                self._set(local.year, local.month, local.day, local.hour)
            self._at += timedelta(hours=1)
            if self._local().hour == 0:
                return False
        return True

    def _minute(self) -> bool:
        while (local := self._local()).minute not in self._schedule.minutes or local.second:
            self._floored = True
            self._at = self._at.replace(second=0) + timedelta(minutes=1)
            if self._local().minute == 0:
                return False
        return True
