"""As whom a container runs: `USER[:GROUP]` as a pod says it. Pure."""

from __future__ import annotations

from typing import Any

from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.kinds import podmarks

Json = dict[str, Any]


def read(container: Fields, security: Json) -> dict[str, str]:
    """Put `User` into a container's security context; the annotations that its pod needs. Raises DockerError."""
    text = container.text("User")
    if not text:
        return {}
    name, _, group = text.partition(":")
    if group:
        if not group.isdecimal():
            raise unsupported(container.at("User"), f"{text!r}: of groups only numbers")
        security["runAsGroup"] = int(group)
    if name.isdecimal():
        security["runAsUser"] = int(name)
        return {}
    marks = {podmarks.USER: name}
    if not name or podmarks.validate(marks):
        raise bad(f"{container.at('User')}: {text!r} is not USER or USER:GROUP")
    return marks
