"""Health checks as requests have them: Docker's one test in the kernel's three probes.

Durations are nanoseconds; `kinds/imagehealth` says what they become.
"""

from __future__ import annotations

from typing import Any

from motet.dialects.docker.errors import bad
from motet.dialects.docker.fields import Fields
from motet.kinds import imagehealth

Json = dict[str, Any]


def probes(check: Fields) -> Json:
    """The probes of a container; none for no test. Raises DockerError."""
    test = check.texts("Test")
    interval = _seconds(check, "Interval", imagehealth.INTERVAL)
    timeout = _seconds(check, "Timeout", imagehealth.TIMEOUT)
    retries = check.natural("Retries", imagehealth.RETRIES)
    start_period = _seconds(check, "StartPeriod", 0)
    start_interval = _seconds(check, "StartInterval", 1)
    check.finish()
    try:
        words = imagehealth.command(test)
    except ValueError as error:
        raise bad(f"{check.path}.Test: {error}") from error
    return imagehealth.probes(
        words,
        interval=interval,
        timeout=timeout,
        retries=retries,
        start_period=start_period,
        start_interval=start_interval,
    )


def left_to_image(check: Fields) -> bool:
    """Whether a request says nothing of a test, so that the image's own counts."""
    return not check.texts("Test")


def _seconds(check: Fields, name: str, default: int) -> int:
    return imagehealth.whole_seconds(check.natural(name), default)
