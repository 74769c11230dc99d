"""Times as people read them in `docker ps`: "2 minutes", "About an hour"."""

from __future__ import annotations

# (below how many hours, hours in one, its name)
_LONGER = ((48, 1, "hours"), (14 * 24, 24, "days"), (60 * 24, 7 * 24, "weeks"), (730 * 24, 30 * 24, "months"))


def human(seconds: float) -> str:
    """How long something has been, in one unit."""
    whole = max(0, int(seconds))
    if whole < 60:
        return ("Less than a second", "1 second")[whole] if whole < 2 else f"{whole} seconds"
    if whole < 3600:
        return "About a minute" if whole < 120 else f"{whole // 60} minutes"
    hours = int(whole / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for most, unit, name in _LONGER:
        if hours < most:
            return f"{hours // unit} {name}"
    return f"{hours // (365 * 24)} years"
