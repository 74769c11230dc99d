"""Cron jobs: jobs made by the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from motet.base.errors import FieldError, invalid, unsupported
from motet.kinds import ages, checks, jobspec, schedules
from motet.kinds.columns import AGE, NAME, NONE, UNSET, column, label_selector, text_at
from motet.kinds.kind import Column, Json, Kind
from motet.kinds.metadata import validate_labels
from motet.kinds.podspec.defaults import default_template
from motet.kinds.shape import each, fill_absent, fill_empty, made, mapping, objects, text

# A job's name is the cron job's and eleven characters that say when.
_LONGEST_NAME = 52
_POLICIES = ("Allow", "Forbid", "Replace")


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_empty(spec, "concurrencyPolicy", "Allow")
    fill_absent(spec, "suspend", False)
    fill_absent(spec, "successfulJobsHistoryLimit", 3)
    fill_absent(spec, "failedJobsHistoryLimit", 1)
    job = made(spec, "jobTemplate", "spec")
    for rule in objects(job, "podFailurePolicy", "rules"):
        each(rule, "onPodConditions", lambda pattern: fill_empty(pattern, "status", "True"))
    default_template(made(job, "template"))


def prepare_create(document: Json) -> None:
    document["status"] = {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    name = text(document, "metadata", "name")
    errors: list[FieldError] = []
    if old is None and len(name) > _LONGEST_NAME:
        errors.append(invalid("metadata.name", name, f"must be no more than {_LONGEST_NAME} characters"))
    if old is not None and spec == mapping(old, "spec"):
        return errors
    errors += schedules.validate(text(spec, "schedule"), "spec.schedule")
    errors += checks.not_negative(
        spec, "spec", "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )
    errors += checks.one_of("spec.concurrencyPolicy", text(spec, "concurrencyPolicy"), _POLICIES)
    zone = spec.get("timeZone")
    # One that was known when the cron job was made may have gone since.
    if zone is not None and (old is None or zone != mapping(old, "spec").get("timeZone")):
        errors += schedules.validate_zone(zone, "spec.timeZone")
    return [*errors, *_template(mapping(spec, "jobTemplate"))]


def _template(template: Json) -> list[FieldError]:
    path = "spec.jobTemplate"
    errors = validate_labels(mapping(template, "metadata"), f"{path}.metadata")
    job = mapping(template, "spec")
    if job.get("selector") is not None:
        errors.append(invalid(f"{path}.spec.selector", job["selector"], "`selector` will be auto-generated"))
    if job.get("manualSelector") is True:
        errors.append(unsupported(f"{path}.spec.manualSelector", True, ("nil", "false")))
    return [*errors, *jobspec.validate(job, f"{path}.spec")]


def _last(document: Json, now: datetime) -> str:
    last = text(document, "status", "lastScheduleTime")
    return ages.since(last, now) if last else NONE


def _suspended(document: Json) -> str:
    found = mapping(document, "spec").get("suspend")
    return str(found) if isinstance(found, bool) else UNSET


def _of_containers(key: str) -> Callable[[Json], str]:
    def cell(document: Json) -> str:
        pod = mapping(document, "spec", "jobTemplate", "spec", "template", "spec")
        return ",".join(text(container, key) for container in objects(pod, "containers"))

    return cell


KIND = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    schema="io.k8s.api.batch.v1.CronJob",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Schedule", text_at("spec", "schedule"), about="When a job is made."),
        column("Timezone", text_at("spec", "timeZone", otherwise=NONE), about="By which clock."),
        column("Suspend", _suspended, about="Whether no more jobs are made."),
        column("Active", lambda d: len(objects(d, "status", "active")), type="integer", about="Jobs that still run."),
        Column("Last Schedule", _last, description="How long ago the last job was due."),
        AGE,
        column("Containers", _of_containers("name"), wide=True, about="Names of each container in the template."),
        column("Images", _of_containers("image"), wide=True, about="Images of each container in the template."),
        column("Selector", lambda d: label_selector(mapping(d, "spec", "jobTemplate")), wide=True),
    ),
)
