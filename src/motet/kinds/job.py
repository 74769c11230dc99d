"""Jobs: pods that run to their end, so many of them, and what becomes of failures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from motet.base import names, selectors
from motet.base.errors import FieldError, invalid, required
from motet.base.timestamps import parse_time
from motet.kinds import ages, checks, jobspec
from motet.kinds.columns import AGE, CONTAINERS, IMAGES, NAME, SELECTOR, column
from motet.kinds.kind import Column, Json, Kind
from motet.kinds.shape import made, mapping, number, objects, text
from motet.store.document import Document

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
# The same without a domain, from before 1.27: scripts and services still select by them.
_OLD_UID_LABEL = "controller-uid"
_OLD_NAME_LABEL = "job-name"


def default(document: Json) -> None:
    spec = made(document, "spec")
    jobspec.default(spec)
    labels = mapping(spec, "template", "metadata").get("labels")
    metadata = made(document, "metadata")
    if isinstance(labels, dict) and labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def prepare_create(document: Json) -> None:
    """A job that does not choose its own selector selects by its uid, and labels its pods with it."""
    document["status"] = {}
    spec = mapping(document, "spec")
    if spec.get("manualSelector") is True:
        return
    labels = made(spec, "template", "metadata", "labels")
    for key, value in _own_labels(document).items():
        labels.setdefault(key, value)
    made(spec, "selector", "matchLabels").setdefault(UID_LABEL, text(document, "metadata", "uid"))


def _own_labels(document: Json) -> dict[str, str]:
    uid, name = text(document, "metadata", "uid"), text(document, "metadata", "name")
    return {UID_LABEL: uid, NAME_LABEL: name, _OLD_UID_LABEL: uid, _OLD_NAME_LABEL: name}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = [*_generated(document), *jobspec.validate(spec, "spec"), *_selector(spec)]
    if old is None:
        return [*errors, *_pod_names(document)]
    before = mapping(old, "spec")
    waits = before.get("suspend") is True and mapping(old, "status").get("startTime") is None
    return [*errors, *jobspec.validate_update(spec, before, "spec", placing_free=waits)]


def _generated(document: Json) -> list[FieldError]:
    """The labels by which a generated selector finds the pods must be there and be right."""
    spec = mapping(document, "spec")
    if spec.get("manualSelector") is True or not isinstance(spec.get("selector"), dict):
        return []
    labels = mapping(spec, "template", "metadata", "labels")
    errors: list[FieldError] = []
    own = _own_labels(document)
    for key in (UID_LABEL, NAME_LABEL):
        path, detail = f"spec.template.metadata.labels[{key}]", f"must be '{own[key]}'"
        if key not in labels:
            errors.append(required(path, detail))
        elif labels[key] != own[key]:
            errors.append(invalid(path, labels, detail))
    try:
        fits = selectors.from_document(spec["selector"]).matches(own)
    except (KeyError, TypeError, ValueError):
        return errors  # complained about where the selector itself is looked at
    return errors if fits else [*errors, invalid("spec.selector", spec["selector"], "`selector` not auto-generated")]


def _selector(spec: Json) -> list[FieldError]:
    selector = spec.get("selector")
    if not isinstance(selector, dict):
        return [required("spec.selector")]
    if problems := checks.label_selector("spec.selector", selector):
        return problems
    labels = mapping(spec, "template", "metadata", "labels")
    if selectors.from_document(selector).matches(labels):
        return []
    return [invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")]


def _pod_names(document: Json) -> list[FieldError]:
    """The pods of an indexed job have host names with their index at the end."""
    completions = number(document, "spec", "completions")
    if text(document, "spec", "completionMode") != jobspec.INDEXED or completions < 1:
        return []
    name = text(document, "metadata", "name")
    problem = names.label_error(f"{name}-{completions - 1}")
    detail = f"will not able to create pod with invalid DNS label: {name}-{completions - 1}"
    return [invalid("metadata.name", name, detail)] if problem else []


class _Status(msgspec.Struct, gc=False, frozen=True):
    succeeded: int | None = None


class _Fields(msgspec.Struct, gc=False, frozen=True):
    status: _Status = _Status()


def fields(document: Document) -> Mapping[str, str]:
    return {"status.successful": str(document.view(_Fields).status.succeeded or 0)}


def has_condition(document: Json, type: str) -> bool:
    """A condition of a job holds."""
    return any(
        text(each, "type") == type and text(each, "status") == "True"
        for each in objects(document, "status", "conditions")
    )


def _shown_status(document: Json) -> str:
    for type in ("Complete", "Failed"):
        if has_condition(document, type):
            return type
    if mapping(document, "metadata").get("deletionTimestamp"):
        return "Terminating"
    for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if has_condition(document, type):
            return type
    return "Running"


def _completions(document: Json) -> str:
    succeeded, spec = number(document, "status", "succeeded"), mapping(document, "spec")
    if isinstance(spec.get("completions"), int):
        return f"{succeeded}/{spec['completions']}"
    parallelism = number(spec, "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(document: Json, now: datetime) -> str:
    begun, ended = text(document, "status", "startTime"), text(document, "status", "completionTime")
    if not begun:
        return ""
    until = parse_time(ended) if ended else now
    return ages.duration((until - parse_time(begun)).total_seconds())


KIND = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    singular="job",
    categories=("all",),
    schema="io.k8s.api.batch.v1.Job",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    fields=fields,
    field_names=("status.successful",),
    columns=(
        NAME,
        column("Status", _shown_status, about="What has become of it."),
        column("Completions", _completions, about="Pods that succeeded, and how many are to."),
        Column("Duration", _duration, description="How long it ran, or has been running."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
)
