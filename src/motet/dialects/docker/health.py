"""Health checks: Docker's one test in the kernel's three probes.

While the container starts, the test is made often and only its success counts; once it has held, `Retries` failures in a row
end the task, which gets a successor. Durations are nanoseconds, and probes have whole seconds.
"""

from __future__ import annotations

from typing import Any

from motet.dialects.docker.errors import bad
from motet.dialects.docker.fields import Fields

Json = dict[str, Any]

_NANOSECONDS = 1_000_000_000
_INTERVAL, _TIMEOUT, _RETRIES = 30, 30, 3
_MOST = 2**31 - 1


def probes(check: Fields) -> Json:
    """The probes of a container; none for no test."""
    test = check.texts("Test")
    interval = _seconds(check, "Interval", _INTERVAL)
    timeout = _seconds(check, "Timeout", _TIMEOUT)
    retries = check.natural("Retries", _RETRIES)
    start_period = _seconds(check, "StartPeriod", 0)
    start_interval = _seconds(check, "StartInterval", 1)
    check.finish()
    command = _command(test, check.path)
    if not command:
        return {}
    probe = {"exec": {"command": command}, "periodSeconds": interval, "timeoutSeconds": timeout}
    often = min(start_interval, interval)
    # Failures within the start period do not count, and then there are `retries` of them at the usual interval.
    patience = min(_MOST, -(-(start_period + retries * interval) // often))
    return {
        "startupProbe": {**probe, "periodSeconds": often, "failureThreshold": max(1, patience)},
        "readinessProbe": {**probe, "failureThreshold": retries},
        "livenessProbe": {**probe, "failureThreshold": retries},
    }


def _command(test: list[str], path: str) -> list[str]:
    match test:
        case [] | ["NONE"]:
            return []
        case ["CMD", *command] if command:
            return command
        case ["CMD-SHELL", script]:
            return ["/bin/sh", "-c", script]
    raise bad(f"{path}.Test: expected NONE, CMD with a command, or CMD-SHELL with a line for the shell")


def _seconds(check: Fields, name: str, default: int) -> int:
    nanoseconds = check.natural(name)
    return max(1, -(-nanoseconds // _NANOSECONDS)) if nanoseconds else default
