"""Ages as kubectl shows them: `45s`, `2m30s`, `5h10m`, `3d4h`, `2y10d` (apimachinery's HumanDuration)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from motet.base.timestamps import parse_time

UNKNOWN = "<unknown>"


def duration(seconds: float) -> str:
    """About two significant figures: the smaller unit is dropped as the larger one grows."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def since(timestamp: Any, now: datetime) -> str:
    """The age of an RFC 3339 instant, `<unknown>` when there is none."""
    if not isinstance(timestamp, str) or not timestamp:
        return UNKNOWN
    return duration((now - parse_time(timestamp)).total_seconds())


def _two(major: int, major_unit: str, minor: int, minor_unit: str) -> str:
    return f"{major}{major_unit}{minor}{minor_unit}" if minor else f"{major}{major_unit}"
