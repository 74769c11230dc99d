"""The events.k8s.io face of events: other names for the same stored documents."""

from __future__ import annotations

from motet.kinds.kind import Kind

KIND = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    singular="event",
    short_names=("ev",),
    schema="io.k8s.api.events.v1.Event",
    create_on_update=True,
)
