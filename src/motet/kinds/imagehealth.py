"""Docker's health checks: one test as the kernel's probes, and the wish to have the image's own.

    motet.dev/image-health: "web=ready,db=live"

Pods of Kubernetes know nothing of a HEALTHCHECK, so a pod says by an annotation for which of its containers it counts, unless they
have probes: `ready`, it says whether the container is ready; `live`, a container that fails it is ended, too, as Swarm does with
its tasks. The node reads it from the image. Follows Docker's image specification 1.2 ("Healthcheck"); durations are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

ANNOTATION = "motet.dev/image-health"
READY, LIVE = "ready", "live"

INTERVAL, TIMEOUT, RETRIES = 30, 30, 3
_NANOSECONDS = 1_000_000_000
# Of a check that only says how a container is: failures before it has held for the first time end nothing.
FOREVER = 2**31 - 1


def parse(text: str) -> dict[str, str]:
    """Containers and what their images' checks are for. Raises ValueError with words for whoever wrote it."""
    found = {}
    for entry in text.split(",") if text else ():
        name, _, mode = entry.partition("=")
        if not name or mode not in (READY, LIVE):
            raise ValueError(f"{entry!r}: expected CONTAINER={READY} or CONTAINER={LIVE}")
        found[name] = mode
    return found


def of(annotations: Mapping[str, str] | None) -> dict[str, str]:
    """What a pod with these annotations wishes. What cannot be read was never accepted, and is not there."""
    try:
        return parse((annotations or {}).get(ANNOTATION, ""))
    except ValueError:
        return {}


def command(test: Sequence[str]) -> list[str]:
    """What to run in the container; nothing for no test. Raises ValueError."""
    match test:
        case [] | ["NONE"]:
            return []
        case ["CMD", *words] if words:
            return words
        case ["CMD-SHELL", script]:
            return ["/bin/sh", "-c", script]
    raise ValueError("expected NONE, CMD with a command, or CMD-SHELL with a line for the shell")


def probes(
    words: Sequence[str],
    *,
    interval: int = INTERVAL,
    timeout: int = TIMEOUT,
    retries: int = RETRIES,
    start_period: int = 0,
    start_interval: int = 1,
    live: bool = True,
) -> Json:
    """The probes of a container whose test runs `words`; none for none. All times in seconds.

    While the container starts, the test is made often and only its success counts; once it has held, `retries` failures in a row
    make the container unready, and end it if it has to be alive.
    """
    if not words:
        return {}
    probe = {"exec": {"command": list(words)}, "periodSeconds": interval, "timeoutSeconds": timeout}
    often = min(start_interval, interval)
    # Failures within the start period do not count, and then there are `retries` of them at the usual interval.
    patience = min(FOREVER, max(1, -(-(start_period + retries * interval) // often)))
    checked = {**probe, "failureThreshold": retries}
    return {
        "startupProbe": {**probe, "periodSeconds": often, "failureThreshold": patience if live else FOREVER},
        "readinessProbe": checked,
        **({"livenessProbe": checked} if live else {}),
    }


def of_image(config: Mapping[str, Any], *, live: bool) -> Json:
    """The probes of a container of an image with this configuration; none for a check that is none or that nobody understands."""
    check = config.get("Healthcheck")
    if not isinstance(check, Mapping):
        return {}
    test = check.get("Test") or []
    if not isinstance(test, list) or not all(isinstance(each, str) for each in test):
        return {}
    try:
        words = command(test)
    except ValueError:
        return {}
    return probes(
        words,
        interval=_seconds(check, "Interval", INTERVAL),
        timeout=_seconds(check, "Timeout", TIMEOUT),
        retries=_number(check, "Retries") or RETRIES,
        start_period=_seconds(check, "StartPeriod", 0),
        start_interval=_seconds(check, "StartInterval", 1),
        live=live,
    )


def whole_seconds(nanoseconds: int, default: int) -> int:
    """Probes have whole seconds; 0 stands for the default."""
    return min(FOREVER, max(1, -(-nanoseconds // _NANOSECONDS))) if nanoseconds else default


def _seconds(check: Mapping[str, Any], name: str, default: int) -> int:
    return whole_seconds(_number(check, name), default)


def _number(check: Mapping[str, Any], name: str) -> int:
    value = check.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63 else 0
