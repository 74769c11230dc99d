"""Rules for when an App's tasks begin (`schedule`, `dependsOn`) and for how many there are by themselves (`autoscale`)."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks, schedules
from motet.kinds.kind import Json
from motet.kinds.shape import fill_absent, fill_empty, mapping, number, objects, text

SKIP, REPLACE = "skip", "replace"
OVERLAPS = (SKIP, REPLACE)
STARTED, HEALTHY, COMPLETED = "started", "healthy", "completed"
CONDITIONS = (STARTED, HEALTHY, COMPLETED)
_MOST_DEPENDENCIES = 50
_MOST_REPLICAS = 100_000


def default(spec: Json) -> None:
    if isinstance(spec.get("schedule"), dict):
        fill_empty(spec["schedule"], "overlap", SKIP)
    for dependency in objects(spec, "dependsOn"):
        fill_empty(dependency, "condition", STARTED)
    if isinstance(spec.get("autoscale"), dict):
        fill_absent(spec["autoscale"], "minReplicas", 1)
        fill_absent(spec["autoscale"], "cpuPercent", 80)


def validate(spec: Json, old: Json, *, job: bool, replicated: bool, name: str) -> list[FieldError]:
    """`spec` of the App `name`, which was `old` before (empty for a new one)."""
    return [
        *_schedule(spec, old, job=job),
        *_dependencies(spec, name),
        *_autoscale(spec, replicated=replicated),
    ]


def _schedule(spec: Json, old: Json, *, job: bool) -> list[FieldError]:
    schedule, path = spec.get("schedule"), "spec.schedule"
    if not isinstance(schedule, dict):
        return []
    if not job:
        return [forbidden(path, "only jobs run by the clock: the mode must be replicatedJob or globalJob")]
    errors = schedules.validate(text(schedule, "cron"), f"{path}.cron")
    zone = schedule.get("timeZone")
    # One that was known when the App was made may have gone since.
    if zone is not None and zone != mapping(old, "schedule").get("timeZone"):
        errors += schedules.validate_zone(zone, f"{path}.timeZone")
    errors += checks.one_of(f"{path}.overlap", text(schedule, "overlap"), OVERLAPS)
    return errors + checks.not_negative(schedule, path, "startingDeadlineSeconds")


def _dependencies(spec: Json, name: str) -> list[FieldError]:
    errors: list[FieldError] = []
    known: set[str] = set()
    found = objects(spec, "dependsOn")
    if len(found) > _MOST_DEPENDENCIES:
        errors.append(invalid("spec.dependsOn", len(found), f"must have at most {_MOST_DEPENDENCIES} items"))
    for index, dependency in enumerate(found):
        here, other = f"spec.dependsOn[{index}]", text(dependency, "name")
        if not other:
            errors.append(required(f"{here}.name"))
        elif problem := names.label_error(other):
            errors.append(invalid(f"{here}.name", other, problem))
        elif other == name:
            errors.append(invalid(f"{here}.name", other, "an App cannot wait for itself"))
        elif other in known:
            errors.append(FieldError(f"{here}.name", "FieldValueDuplicate", other))
        known.add(other)
        errors += checks.one_of(f"{here}.condition", text(dependency, "condition"), CONDITIONS)
    return errors


def _autoscale(spec: Json, *, replicated: bool) -> list[FieldError]:
    autoscale, path = spec.get("autoscale"), "spec.autoscale"
    if not isinstance(autoscale, dict):
        return []
    if not replicated:
        return [forbidden(path, "only Apps with replicas grow and shrink: the mode must be replicated")]
    least = number(autoscale, "minReplicas")
    errors = checks.between(f"{path}.minReplicas", autoscale.get("minReplicas"), 1, _MOST_REPLICAS)
    if autoscale.get("maxReplicas") is None:
        errors.append(required(f"{path}.maxReplicas"))
    else:
        errors += checks.between(f"{path}.maxReplicas", autoscale["maxReplicas"], max(least, 1), _MOST_REPLICAS)
    errors += checks.between(f"{path}.cpuPercent", autoscale.get("cpuPercent"), 1, 1000)
    for index, container in enumerate(objects(spec, "template", "spec", "containers")):
        resources = mapping(container, "resources")
        asked = mapping(resources, "requests").get("cpu", mapping(resources, "limits").get("cpu"))
        if asked in (None, "", "0", 0):
            here = f"spec.template.spec.containers[{index}].resources.requests.cpu"
            errors.append(required(here, "spec.autoscale compares what is used with what is asked for"))
    return errors
