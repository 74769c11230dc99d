"""Labels by which voices without words for it ask for what Apps can: docker's services, and those of Compose files.

They are: runs by the clock, other services to wait for, growing and shrinking with the load, devices. A table of words, both ways.

    motet.dev/schedule: "*/5 * * * *"            # of a job; with .timezone, .overlap (skip, replace), .deadline (seconds)
    motet.dev/depends-on: db:healthy, cache      # started (without a word), healthy, completed
    motet.dev/autoscale.max: "10"                # with .min and .cpu (percent of what is reserved)
    motet.dev/devices: /dev/fuse, /dev/sda9:/dev/data
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from motet.base.errors import MotetError
from motet.kinds import appstarts, schedules

Json = dict[str, Any]

PREFIX = "motet.dev/"
SCHEDULE = "motet.dev/schedule"
_SCHEDULE = {"timezone": "timeZone", "overlap": "overlap", "deadline": "startingDeadlineSeconds"}
DEPENDS_ON = "motet.dev/depends-on"
AUTOSCALE = "motet.dev/autoscale"
_AUTOSCALE = {"min": "minReplicas", "max": "maxReplicas", "cpu": "cpuPercent"}
DEVICES = "motet.dev/devices"
KNOWN = (
    SCHEDULE,
    *(f"{SCHEDULE}.{word}" for word in _SCHEDULE),
    DEPENDS_ON,
    *(f"{AUTOSCALE}.{word}" for word in _AUTOSCALE),
    DEVICES,
)
# Members of an App's spec that these labels stand for; devices are the template's.
PARTS = ("schedule", "dependsOn", "autoscale")
# Compose's own words for what is waited for.
_COMPOSE = {
    "service_started": appstarts.STARTED,
    "service_healthy": appstarts.HEALTHY,
    "service_completed_successfully": appstarts.COMPLETED,
}


class LabelError(MotetError):
    """A label that cannot be honoured, by its name."""

    def __init__(self, label: str, message: str) -> None:
        super().__init__(f"label {label}: {message}")


def as_it_is(name: str) -> str:
    """The App's name where services have the same."""
    return name


_SEPARATORS = re.compile(r"[,\s]+")
_DEVICE = re.compile(r"/dev/[^:]+")


def parts(
    labels: Mapping[str, str],
    *,
    job: bool,
    replicated: bool,
    reserves_cpu: bool,
    name_of: Callable[[str], str] = as_it_is,
) -> Json:
    """Of an App's spec what the labels of its service ask for. `name_of` makes an App's name of a service's. Raises LabelError."""
    for key in labels:
        if key.startswith(PREFIX) and key not in KNOWN:
            raise LabelError(key, f"there is no such label; those that Motet knows are {', '.join(KNOWN)}")
    found: Json = {}
    if schedule := _schedule(labels):
        if not job:
            raise LabelError(SCHEDULE, "only jobs run by the clock: the mode must be replicated-job or global-job")
        found["schedule"] = schedule
    if DEPENDS_ON in labels:
        found["dependsOn"] = list(_dependencies(labels[DEPENDS_ON], name_of))
    if autoscale := _autoscale(labels):
        if not replicated:
            raise LabelError(f"{AUTOSCALE}.max", "only replicated services grow and shrink")
        if not reserves_cpu:
            lacks = (
                "CPU must be reserved (--reserve-cpu; deploy.resources.reservations.cpus), for use is compared with it"
            )
            raise LabelError(f"{AUTOSCALE}.max", lacks)
        found["autoscale"] = autoscale
    return found


def _schedule(labels: Mapping[str, str]) -> Json:
    found: Json = {
        key: labels[f"{SCHEDULE}.{word}"] for word, key in _SCHEDULE.items() if f"{SCHEDULE}.{word}" in labels
    }
    if SCHEDULE not in labels:
        if found:
            raise LabelError(SCHEDULE, "missing, though others say how; such as */5 * * * *")
        return {}
    found["cron"] = labels[SCHEDULE]
    errors = [(SCHEDULE, error) for error in schedules.validate(found["cron"], "")]
    if "timeZone" in found:
        errors += [(f"{SCHEDULE}.timezone", error) for error in schedules.validate_zone(found["timeZone"], "")]
    for label, error in errors:
        raise LabelError(label, f"{labels[label]!r}: {error.detail or 'a schedule is needed'}")
    if (overlap := found.get("overlap", appstarts.SKIP)) not in appstarts.OVERLAPS:
        raise LabelError(f"{SCHEDULE}.overlap", f"{overlap!r} is none of {', '.join(appstarts.OVERLAPS)}")
    if "startingDeadlineSeconds" in found:
        found["startingDeadlineSeconds"] = _number(labels, f"{SCHEDULE}.deadline")
    return found


def _dependencies(words: str, name_of: Callable[[str], str]) -> Iterator[Json]:
    for word in filter(None, _SEPARATORS.split(words)):
        name, _, said = word.partition(":")
        condition = _COMPOSE.get(said, said or appstarts.STARTED)
        if condition not in appstarts.CONDITIONS:
            raise LabelError(DEPENDS_ON, f"{word!r}: {said!r} is none of {', '.join(appstarts.CONDITIONS)}")
        yield {"name": name_of(name), "condition": condition}


def _autoscale(labels: Mapping[str, str]) -> Json:
    found = {
        key: _number(labels, f"{AUTOSCALE}.{word}")
        for word, key in _AUTOSCALE.items()
        if f"{AUTOSCALE}.{word}" in labels
    }
    if found and "maxReplicas" not in found:
        raise LabelError(f"{AUTOSCALE}.max", "missing; it says how many tasks there may be")
    for word, key in _AUTOSCALE.items():
        if found.get(key, 1) < 1:
            raise LabelError(f"{AUTOSCALE}.{word}", "must be at least 1")
    if found and found["maxReplicas"] < found.get("minReplicas", 1):
        raise LabelError(f"{AUTOSCALE}.max", f"{found['maxReplicas']} is less than {AUTOSCALE}.min")
    return found


def _number(labels: Mapping[str, str], label: str) -> int:
    text = labels[label].strip().removesuffix("%" if label == f"{AUTOSCALE}.cpu" else "s").strip()
    if not text.isdecimal() or len(text) > 9:
        raise LabelError(label, f"{labels[label]!r}: expected a number")
    return int(text)


def devices(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The devices that the labels name: path on the node, path inside. Raises LabelError."""
    for word in filter(None, _SEPARATORS.split(labels.get(DEVICES, ""))):
        outside, *others = word.split(":")
        inside = others[0] if others else outside
        if not _DEVICE.fullmatch(outside) or ".." in outside.split("/") or not inside.startswith("/"):
            raise LabelError(DEVICES, f"{word!r}: expected /dev/NAME or /dev/NAME:/PATH/INSIDE")
        if others[1:] not in ([], ["rwm"]):
            raise LabelError(DEVICES, f"{word!r}: permissions other than rwm are not supported")
        yield outside, inside


def refuse_inside(labels: Mapping[str, str]) -> None:
    """Labels of containers ask for nothing. Raises LabelError when somebody expects otherwise."""
    for key in labels:
        if key in KNOWN:
            raise LabelError(
                key, "is one of the service, not of its containers: in a Compose file it goes below deploy.labels"
            )


def shown(
    labels: Mapping[str, str], spec: Mapping[str, Any], name_of: Callable[[str], str] = as_it_is
) -> dict[str, str]:
    """Labels of a service that say what its App's `spec` has, be it that others changed it; as they were where they say it."""
    wanted = {key: spec[key] for key in PARTS if spec.get(key)}
    try:
        said = parts(labels, job=True, replicated=True, reserves_cpu=True, name_of=name_of)
    except LabelError:
        said = {}
    appstarts.default(said)
    if said == wanted:
        return dict(labels)
    ours = {key for key in KNOWN if key != DEVICES}
    return {**{key: value for key, value in labels.items() if key not in ours}, **_words(wanted)}


def _words(wanted: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    schedule, autoscale = wanted.get("schedule") or {}, wanted.get("autoscale") or {}
    if schedule:
        found[SCHEDULE] = schedule["cron"]
        found |= {f"{SCHEDULE}.{word}": str(schedule[key]) for word, key in _SCHEDULE.items() if key in schedule}
    if needed := wanted.get("dependsOn"):
        found[DEPENDS_ON] = ", ".join(f"{each['name']}:{each['condition']}" for each in needed)
    return found | {f"{AUTOSCALE}.{word}": str(autoscale[key]) for word, key in _AUTOSCALE.items() if key in autoscale}
