"""Apps, Motet's own kind: what a person means by "run this", replicated or on every node, for ever or to its end.

    apiVersion: motet.dev/v1
    kind: App
    metadata: {name: web}
    spec:
      mode: {replicated: {replicas: 3}}      # or global, replicatedJob, globalJob
      update: {parallelism: 1, delaySeconds: 0, order: stop-first, failureAction: rollback}
      restart: {condition: any, delaySeconds: 5}
      template: {spec: {containers: [...]}}  # a PodTemplateSpec

`mode` holds exactly one member. Pods belong to their App by the label `motet.dev/app`, which the controller puts on them, so there
is no selector to get wrong. With `restart` its pods are tasks: each runs once and has a successor in its slot. What the
controller does not honour is not in the schema, and so is refused by name.
"""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import appschema, appstarts, checks, placements, tasks
from motet.kinds.columns import AGE, CONTAINERS, NAME, column, container_images, number_at
from motet.kinds.kind import Json, Kind, Scale
from motet.kinds.podspec.defaults import default_template
from motet.kinds.podspec.spec import validate_template
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, number, objects, text

# On every pod of an App: the App's name.
LABEL = tasks.LABEL
REPLICATED = "replicated"
GLOBAL = "global"
REPLICATED_JOB = "replicatedJob"
GLOBAL_JOB = "globalJob"
MODES = (REPLICATED, GLOBAL, REPLICATED_JOB, GLOBAL_JOB)
JOBS = (REPLICATED_JOB, GLOBAL_JOB)
ORDERS = ("start-first", "stop-first")
CONDITIONS = ("any", "none", "on-failure")
# Asks for a rollback: the version that is gone back to. Where it is the present one, `rollback` says how, not `update`.
ROLLBACK = "motet.dev/rollback-to"
# Why, for people; ends up in the status.
ROLLBACK_REASON = "motet.dev/rollback-reason"
# What the reason begins with when nobody asked but the update's own failures.
BY_ITSELF = "rollback initiated: "
# A time (RFC 3339): an update that was paused by failures before then goes on.
RESUMED = "motet.dev/resumed-at"
HISTORY = 5
_MOST_HISTORY = 100
_MOST_ATTEMPTS = 1000

SCHEMA = appschema.APP


def mode(document: Json) -> str:
    """Which of `MODES` it is; empty when the document says none."""
    given = mapping(document, "spec", "mode")
    return next((name for name in MODES if isinstance(given.get(name), dict)), "")


def selector(document: Json) -> str:
    """The label selector of the App's pods, as text."""
    return f"{LABEL}={text(document, 'metadata', 'name')}"


def default(document: Json) -> None:
    spec = made(document, "spec")
    modes = made(spec, "mode")
    if not any(modes.get(name) is not None for name in MODES):
        modes[REPLICATED] = {}
    if isinstance(modes.get(REPLICATED), dict):
        fill_absent(modes[REPLICATED], "replicas", 1)
    job = any(isinstance(modes.get(name), dict) for name in JOBS)
    if isinstance(modes.get(REPLICATED_JOB), dict):
        _default_counts(modes[REPLICATED_JOB])
    if job:
        made(spec, "restart")
    else:
        _default_update(made(spec, "update"))
        if isinstance(spec.get("rollback"), dict):
            _default_update(spec["rollback"])
    if isinstance(spec.get("restart"), dict):
        fill_empty(spec["restart"], "condition", "on-failure" if job else "any")
        fill_absent(spec["restart"], "delaySeconds", 5)
        fill_absent(spec["restart"], "maxAttempts", 0)
        fill_absent(spec["restart"], "windowSeconds", 0)
        fill_absent(spec, "taskHistoryLimit", HISTORY)
        fill_empty(made(spec, "template", "spec"), "restartPolicy", "Never")
    fill_absent(spec, "revisionHistoryLimit", 10)
    appstarts.default(spec)
    default_template(made(spec, "template"))


def _default_counts(job: Json) -> None:
    fill_absent(job, "totalCompletions", number(job, "maxConcurrent") or 1)
    fill_absent(job, "maxConcurrent", job["totalCompletions"])


def _default_update(update: Json) -> None:
    fill_absent(update, "parallelism", 1)
    fill_absent(update, "delaySeconds", 0)
    fill_empty(update, "order", "stop-first")
    fill_absent(update, "monitorSeconds", 5)
    fill_empty(update, "failureAction", "pause")
    fill_absent(update, "maxFailureRatio", 0)
    fill_absent(update, "minimumHealthyPercent", 0)


def prepare_create(document: Json) -> None:
    document["status"] = {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = _mode(mapping(spec, "mode"))
    which = mode(document)
    errors += _updates(spec, which)
    errors += _restart(spec, which)
    errors += placements.validate(spec, which)
    errors += placements.validate_placeholders(spec, which in (GLOBAL, GLOBAL_JOB))
    errors += checks.between("spec.taskHistoryLimit", spec.get("taskHistoryLimit"), 0, _MOST_HISTORY)
    errors += checks.between("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"), 1, _MOST_HISTORY)
    errors += checks.not_negative(spec, "spec", "forceUpdate")
    old_spec = mapping(old or {}, "spec")
    name = text(document, "metadata", "name")
    errors += appstarts.validate(spec, old_spec, job=which in JOBS, replicated=which == REPLICATED, name=name)
    template = mapping(spec, "template")
    errors += validate_template(template, "spec.template")
    own = mapping(template, "metadata", "labels").get(LABEL)
    if own is not None and own != name:
        errors.append(invalid(f"spec.template.metadata.labels[{LABEL}]", own, f"must be {name!r}, or left out"))
    if old is not None and (before := mode(old)) and before != which:
        errors.append(invalid("spec.mode", mapping(spec, "mode"), f"the mode may not change; it is {before}"))
    return errors


def _mode(modes: Json) -> list[FieldError]:
    given = [name for name in MODES if isinstance(modes.get(name), dict)]
    if not given:
        return [required("spec.mode", f"must specify one of: {', '.join(f'`{name}`' for name in MODES)}")]
    errors = [
        forbidden(f"spec.mode.{extra}", f"may not be specified together with `{given[0]}`") for extra in given[1:]
    ]
    errors += checks.not_negative(mapping(modes, REPLICATED), f"spec.mode.{REPLICATED}", "replicas")
    job = mapping(modes, REPLICATED_JOB)
    errors += checks.between(f"spec.mode.{REPLICATED_JOB}.maxConcurrent", job.get("maxConcurrent"), 1)
    return errors + checks.not_negative(job, f"spec.mode.{REPLICATED_JOB}", "totalCompletions")


def _updates(spec: Json, which: str) -> list[FieldError]:
    given = [name for name in ("update", "rollback") if isinstance(spec.get(name), dict)]
    if which in JOBS:
        detail = "a job is not updated bit by bit; its next run begins with the new template"
        return [forbidden(f"spec.{name}", detail) for name in given]
    return [error for name in given for error in _update(spec[name], f"spec.{name}", name)]


def _update(update: Json, path: str, name: str) -> list[FieldError]:
    errors = checks.not_negative(update, path, "parallelism")
    errors += _seconds(update, path, "delaySeconds", "monitorSeconds")
    errors += checks.one_of(f"{path}.order", text(update, "order"), ORDERS)
    actions = ("continue", "pause", "rollback") if name == "update" else ("continue", "pause")
    errors += checks.one_of(f"{path}.failureAction", text(update, "failureAction"), actions)
    ratio = update.get("maxFailureRatio")
    if isinstance(ratio, (int, float)) and not 0 <= ratio <= 1:
        errors.append(invalid(f"{path}.maxFailureRatio", ratio, "must be between 0 and 1"))
    least, most = update.get("minimumHealthyPercent"), update.get("maximumPercent")
    errors += checks.between(f"{path}.minimumHealthyPercent", least, 0, 100)
    errors += checks.between(f"{path}.maximumPercent", most, 100, 1000)
    if not errors and least == 100 and (most == 100 or (most is None and text(update, "order") == "stop-first")):
        detail = "with this neither may a pod go before its successor comes nor come before it goes"
        errors.append(invalid(f"{path}.minimumHealthyPercent", least, detail))
    return errors


def _seconds(parent: Json, path: str, *keys: str) -> list[FieldError]:
    return [
        invalid(f"{path}.{key}", parent[key], checks.NOT_NEGATIVE)
        for key in keys
        if isinstance(parent.get(key), (int, float)) and not parent[key] >= 0
    ]


def _restart(spec: Json, which: str) -> list[FieldError]:
    restart = spec.get("restart")
    if not isinstance(restart, dict):
        return []
    path, condition = "spec.restart", text(restart, "condition")
    errors = checks.one_of(f"{path}.condition", condition, CONDITIONS)
    if which in JOBS and condition == "any":
        errors.append(invalid(f"{path}.condition", condition, "a job that has ended well is not run again"))
    errors += _seconds(restart, path, "delaySeconds", "windowSeconds")
    errors += checks.between(f"{path}.maxAttempts", restart.get("maxAttempts"), 0, _MOST_ATTEMPTS)
    policy = text(mapping(spec, "template", "spec"), "restartPolicy")
    if policy and policy != "Never":
        detail = "must be Never where there is a spec.restart: what ended is replaced and not restarted"
        errors.append(invalid("spec.template.spec.restartPolicy", policy, detail))
    return errors


def _wanted(document: Json) -> int:
    match mode(document):
        case "replicated":
            return number(document, "spec", "mode", REPLICATED, "replicas")
        case "replicatedJob":
            return number(document, "spec", "mode", REPLICATED_JOB, "totalCompletions")
    return number(document, "status", "desiredReplicas")


def _state(document: Json) -> str:
    """`paused` is what somebody asked for; else how the last update went, or a job."""
    if mode(document) in JOBS:
        conditions = {text(each, "type"): text(each, "status") for each in objects(document, "status", "conditions")}
        job = mapping(document, "status", "job")
        if mapping(document, "spec", "schedule") and not number(job, "iteration"):
            return f"runs at {text(document, 'status', 'schedule', 'nextRunTime') or 'no time'}"
        done = f"{number(job, 'completed')}/{_wanted(document)} completed"
        return f"{done}, {number(job, 'failed')} failed" if conditions.get("Failed") == "True" else done
    if mapping(document, "spec").get("paused") is True:
        return "paused"
    return text(document, "status", "update", "state")


KIND = Kind(
    group="motet.dev",
    version="v1",
    kind="App",
    plural="apps",
    singular="app",
    categories=("all",),
    schema=SCHEMA,
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    # The name becomes a label value and the first part of pod names.
    name_error=names.label_error,
    status=True,
    scale=Scale(spec_replicas="spec.mode.replicated.replicas", selector=selector),
    columns=(
        NAME,
        column("Mode", mode, about="replicated, or global: one on every node; or a job of either kind."),
        column("Replicas", _wanted, type="integer", about="Pods there should be."),
        column("Ready", number_at("status", "readyReplicas"), type="integer", about="Pods that are ready."),
        column("Update", _state, about="How the last update went; of a job, how far it is."),
        column("Image", container_images, about="Images referenced by each container in the template."),
        AGE,
        column("Up-to-date", number_at("status", "updatedReplicas"), type="integer", wide=True, about="Pods as asked."),
        column("Available", number_at("status", "availableReplicas"), type="integer", wide=True, about="Pods serving."),
        CONTAINERS,
    ),
)
