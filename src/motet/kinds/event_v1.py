"""The events.k8s.io face of events: other names for the same stored documents."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from motet.kinds import event
from motet.kinds.kind import Column, Json, Kind, Projection

# Newer name -> stored name.
_NAMES = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def read(document: Json) -> None:
    """Stored -> shown."""
    _rename(document, {old: new for new, old in _NAMES.items()})
    document["apiVersion"] = "events.k8s.io/v1"
    # Required in this group, and absent from events of the older style.
    document.setdefault("eventTime", None)


def write(document: Json) -> None:
    """Sent -> stored."""
    _rename(document, _NAMES)
    document["apiVersion"] = "v1"


def _rename(document: Json, names: dict[str, str]) -> None:
    for before, after in names.items():
        if before in document:
            document[after] = document.pop(before)


def _on_shown(column: Column) -> Column:
    """The stored kind's column, for documents in the shown form."""

    def cell(document: Json, now: datetime) -> Any:
        stored = dict(document)
        write(stored)
        return column.cell(stored, now)

    return replace(column, cell=cell)


_FIELD_PATHS = {
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
    **{
        f"regarding.{part}": f"involvedObject.{part}"
        for part in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
}


KIND = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    short_names=("ev",),
    schema="io.k8s.api.events.v1.Event",
    field_names=tuple(_FIELD_PATHS),
    columns=tuple(_on_shown(column) for column in event.KIND.columns),
    create_on_update=True,
    projection=Projection(of=event.KIND, read=read, write=write, field_paths=_FIELD_PATHS),
)
