"""Events: what happened to an object, for people to read.

Clients write them in two styles: the older counts repetitions in `count` and `lastTimestamp`, the newer has `eventTime`
and a `series`. Both are kept here; `event_v1` shows the same documents under the newer group's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from motet.base import names
from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.ages import UNKNOWN, since
from motet.kinds.columns import NAME, column, text_at
from motet.kinds.kind import Column, Json, Kind
from motet.kinds.shape import number, text
from motet.store.document import Document

# Characters.
MAX_WORD = 128
MAX_NOTE = 1024


def validate(document: Json, old: Json | None) -> list[FieldError]:
    """Only new ones are held to the newer style: upstream means its fields not to change, but compares none of them, and its
    own conformance suite changes a note."""
    namespace, about = text(document, "metadata", "namespace"), text(document, "involvedObject", "namespace")
    errors: list[FieldError] = []
    # Events about cluster-wide objects live in the default namespace (or, in the newer style, in kube-system).
    homes = (about,) if about else ("", "default", "kube-system")
    if namespace not in homes:
        errors.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))
    if document.get("eventTime") and old is None:
        errors += _new_style(document)
    return errors


def _new_style(document: Json) -> list[FieldError]:
    errors = checks.named("reportingController", text(document, "reportingComponent"), names.qualified_name_error)
    for key, path in (("reportingInstance", "reportingInstance"), ("action", "action"), ("reason", "reason")):
        value = text(document, key)
        if not value:
            errors.append(required(path))
        elif len(value) > MAX_WORD:
            errors.append(invalid(path, value, f"can have at most {MAX_WORD} characters"))
    if len(text(document, "message")) > MAX_NOTE:
        errors.append(invalid("message", "", f"can have at most {MAX_NOTE} characters"))
    if text(document, "type") not in ("Normal", "Warning"):
        errors.append(invalid("type", text(document, "type"), "has invalid value: " + text(document, "type")))
    if isinstance(series := document.get("series"), dict):
        if number(series, "count") < 2:
            errors.append(invalid("series.count", number(series, "count"), "should be at least 2"))
        if not series.get("lastObservedTime"):
            errors.append(required("series.lastObservedTime"))
    return errors


class _About(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None
    api_version: str | None = None
    resource_version: str | None = None
    field_path: str | None = None


class _Source(msgspec.Struct, gc=False, frozen=True):
    component: str | None = None


class _Fields(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    involved_object: _About = _About()
    source: _Source | None = None
    reason: str | None = None
    reporting_component: str | None = None
    type: str | None = None


def fields(document: Document) -> Mapping[str, str]:
    view = document.view(_Fields)
    about = view.involved_object
    component = view.source.component if view.source is not None else ""
    return {
        "involvedObject.kind": about.kind or "",
        "involvedObject.namespace": about.namespace or "",
        "involvedObject.name": about.name or "",
        "involvedObject.uid": about.uid or "",
        "involvedObject.apiVersion": about.api_version or "",
        "involvedObject.resourceVersion": about.resource_version or "",
        "involvedObject.fieldPath": about.field_path or "",
        "reason": view.reason or "",
        "reportingComponent": view.reporting_component or "",
        "source": component or view.reporting_component or "",
        "type": view.type or "",
    }


def _first_seen(document: Json, now: datetime) -> str:
    return since(document.get("firstTimestamp") or document.get("eventTime"), now)


def _last_seen(document: Json, now: datetime) -> str:
    if isinstance(series := document.get("series"), dict):
        return since(series.get("lastObservedTime"), now)
    last = since(document.get("lastTimestamp"), now)
    return _first_seen(document, now) if last == UNKNOWN else last


def _count(document: Json) -> int:
    series = document.get("series")
    return number(series, "count") if isinstance(series, dict) else number(document, "count") or 1


def _object(document: Json) -> str:
    kind, name = text(document, "involvedObject", "kind").lower(), text(document, "involvedObject", "name")
    return f"{kind}/{name}" if name else kind


def _source(document: Json) -> str:
    component = text(document, "source", "component") or text(document, "reportingComponent")
    host = text(document, "source", "host") or text(document, "reportingInstance")
    return f"{component}, {host}" if host else component


_COLUMNS = (
    Column("Last Seen", _last_seen, description="When it happened last."),
    column("Type", text_at("type"), about="Normal or Warning."),
    column("Reason", text_at("reason"), about="What happened, in a word."),
    column("Object", _object, about="What it happened to."),
    column("Subobject", text_at("involvedObject", "fieldPath"), wide=True, about="Which part of it."),
    column("Source", _source, wide=True, about="Who says so."),
    column("Message", lambda document: text(document, "message").strip(), about="What happened, in a sentence."),
    Column("First Seen", _first_seen, priority=1, description="When it happened first."),
    column("Count", _count, wide=True, about="How often it happened."),
    Column("Name", NAME.cell, format="name", priority=1, description=NAME.description),
)


KIND = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    short_names=("ev",),
    schema="io.k8s.api.core.v1.Event",
    validate=validate,
    fields=fields,
    field_names=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    indexed_fields=("involvedObject.uid",),
    columns=_COLUMNS,
    create_on_update=True,
)
