"""Rules for schedules and time zones, wherever a kind has them."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from motet.base import cron
from motet.base.errors import FieldError, invalid, required


def validate(schedule: str, path: str) -> list[FieldError]:
    """A schedule as `base.cron` reads it."""
    if not schedule:
        return [required(path)]
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        return [invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")]
    try:
        cron.parse(schedule)
    except ValueError as error:
        return [invalid(path, schedule, str(error))]
    return []


def validate_zone(name: Any, path: str) -> list[FieldError]:
    if not isinstance(name, str) or not name:
        return [invalid(path, name, "timeZone must be nil or non-empty string")]
    if name.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [invalid(path, name, detail)]
    return [] if zone(name) is not None else [invalid(path, name, f"unknown time zone {name}")]


def zone(name: str | None) -> tzinfo | None:
    """The time zone of that name: UTC when none is named, None when nobody knows it."""
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there, not a name, not a file
        return None
