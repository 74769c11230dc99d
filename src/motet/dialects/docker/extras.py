"""What services can have here and could never have in Swarm, said by labels of the service.

They are: runs by the clock, other services to wait for, growing and shrinking with the load, devices.

The kernel does all of it (`kinds/appstarts.py`); this is a table of words. Pure.

    motet.dev/schedule: "*/5 * * * *"            # of a job; with .timezone, .overlap (skip, replace), .deadline (seconds)
    motet.dev/depends-on: db:healthy, cache      # started (without a word), healthy, completed
    motet.dev/autoscale.max: "10"                # with .min and .cpu (percent of what is reserved)
    motet.dev/devices: /dev/fuse, /dev/sda9:/dev/data
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from motet.dialects.docker import objects
from motet.dialects.docker.errors import DockerError, bad, unsupported
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
_SEPARATORS = re.compile(r"[,\s]+")
_DEVICE = re.compile(r"/dev/[^:]+")


def parts(labels: Mapping[str, str], *, job: bool, replicated: bool, reserves_cpu: bool) -> Json:
    """Of an App's spec what the labels of its service ask for. Raises DockerError for what cannot be, by the label's name."""
    for key in labels:
        if key.startswith(PREFIX) and key not in KNOWN:
            raise bad(f"label {key}: there is no such label; those that Motet knows are {', '.join(KNOWN)}")
    found: Json = {}
    if schedule := _schedule(labels):
        if not job:
            raise bad(f"label {SCHEDULE}: only jobs run by the clock; use --mode replicated-job or global-job")
        found["schedule"] = schedule
    if DEPENDS_ON in labels:
        found["dependsOn"] = list(_dependencies(labels))
    if autoscale := _autoscale(labels):
        if not replicated:
            raise bad(f"label {AUTOSCALE}.max: only replicated services grow and shrink")
        if not reserves_cpu:
            raise bad(f"label {AUTOSCALE}.max: use --reserve-cpu; what is used is compared with what is reserved")
        found["autoscale"] = autoscale
    return found


def _schedule(labels: Mapping[str, str]) -> Json:
    found: Json = {
        key: labels[f"{SCHEDULE}.{word}"] for word, key in _SCHEDULE.items() if f"{SCHEDULE}.{word}" in labels
    }
    if SCHEDULE not in labels:
        if found:
            raise bad(f"label {SCHEDULE}: missing, though others say how; such as */5 * * * *")
        return {}
    found["cron"] = labels[SCHEDULE]
    errors = [(SCHEDULE, error) for error in schedules.validate(found["cron"], "")]
    if "timeZone" in found:
        errors += [(f"{SCHEDULE}.timezone", error) for error in schedules.validate_zone(found["timeZone"], "")]
    for label, error in errors:
        raise bad(f"label {label}: {labels[label]!r}: {error.detail or 'a schedule is needed'}")
    if (overlap := found.get("overlap", appstarts.SKIP)) not in appstarts.OVERLAPS:
        raise bad(f"label {SCHEDULE}.overlap: {overlap!r} is none of {', '.join(appstarts.OVERLAPS)}")
    if "startingDeadlineSeconds" in found:
        found["startingDeadlineSeconds"] = _number(labels, f"{SCHEDULE}.deadline")
    return found


def _dependencies(labels: Mapping[str, str]) -> Iterator[Json]:
    """Within a stack names are those of its own services, as they are in its file."""
    stack = labels.get(objects.STACK, "")
    for word in filter(None, _SEPARATORS.split(labels[DEPENDS_ON])):
        name, _, said = word.partition(":")
        condition = _COMPOSE.get(said, said or appstarts.STARTED)
        if condition not in appstarts.CONDITIONS:
            raise bad(f"label {DEPENDS_ON}: {word!r}: {said!r} is none of {', '.join(appstarts.CONDITIONS)}")
        inside = objects.object_name(stack, "stack") + "-" if stack else ""
        plain = objects.object_name(name, "service")
        yield {"name": plain if plain.startswith(inside) else f"{inside}{plain}", "condition": condition}


def _autoscale(labels: Mapping[str, str]) -> Json:
    found = {
        key: _number(labels, f"{AUTOSCALE}.{word}")
        for word, key in _AUTOSCALE.items()
        if f"{AUTOSCALE}.{word}" in labels
    }
    if found and "maxReplicas" not in found:
        raise bad(f"label {AUTOSCALE}.max: missing; it says how many tasks there may be")
    for word, key in _AUTOSCALE.items():
        if found.get(key, 1) < 1:
            raise bad(f"label {AUTOSCALE}.{word}: must be at least 1")
    if found and found["maxReplicas"] < found.get("minReplicas", 1):
        raise bad(f"label {AUTOSCALE}.max: {found['maxReplicas']} is less than {AUTOSCALE}.min")
    return found


def _number(labels: Mapping[str, str], label: str) -> int:
    text = labels[label].strip().removesuffix("%" if label == f"{AUTOSCALE}.cpu" else "s").strip()
    if not text.isdecimal() or len(text) > 9:
        raise bad(f"label {label}: {labels[label]!r}: expected a number")
    return int(text)


def add_devices(labels: Mapping[str, str], pod: Json) -> None:
    """Put the devices that the labels name into a pod specification. Raises DockerError."""
    for index, word in enumerate(filter(None, _SEPARATORS.split(labels.get(DEVICES, "")))):
        outside, *others = word.split(":")
        inside = others[0] if others else outside
        if not _DEVICE.fullmatch(outside) or ".." in outside.split("/") or not inside.startswith("/"):
            raise bad(f"label {DEVICES}: {word!r}: expected /dev/NAME or /dev/NAME:/PATH/INSIDE")
        if others[1:] not in ([], ["rwm"]):
            raise unsupported(f"label {DEVICES}: {word!r}", "permissions other than rwm")
        name = f"device-{index}"
        pod.setdefault("volumes", []).append({"name": name, "hostPath": {"path": outside, "type": "CharDevice"}})
        container = pod["containers"][0]
        container.setdefault("volumeDevices", []).append({"name": name, "devicePath": inside})


def refuse_inside(labels: Mapping[str, str]) -> None:
    """Labels of containers do nothing here. Raises DockerError when somebody expects otherwise."""
    for key in labels:
        if key in KNOWN:
            raise bad(
                f"label {key} is one of the service, not of its containers: in a Compose file it goes below deploy.labels"
            )


def shown(labels: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, str]:
    """Labels of a service that say what its App's `spec` has, be it that others changed it; as they were where they say it."""
    wanted = {key: spec[key] for key in PARTS if spec.get(key)}
    try:
        said = parts(labels, job=True, replicated=True, reserves_cpu=True)
    except DockerError:
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
