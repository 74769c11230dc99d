"""What a file names and does not make: `external` networks, volumes, secrets and configs."""

from __future__ import annotations

from motet.cli.compose.source import Fields


def is_external(fields: Fields) -> bool:
    at = fields.get("external")
    return at is not None and (at.is_map or fields.truth("external"))


def old_name(fields: Fields) -> str:
    """`external: {name: NAME}`, as files of version 2 have it; empty without one."""
    at = fields.get("external")
    if at is None or not at.is_map:
        return ""
    old = Fields(fields.source, at)
    name = old.text("name")
    old.finish()
    return name
