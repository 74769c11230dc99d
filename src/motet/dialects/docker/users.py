"""As whom a container runs: `USER[:GROUP]` as a pod says it. Pure."""

from __future__ import annotations

from typing import Any

from motet.dialects.docker.errors import bad
from motet.dialects.docker.fields import Fields
from motet.kinds import podmarks

Json = dict[str, Any]


def read(container: Fields, security: Json) -> dict[str, str]:
    """Put `User` into a container's security context; the annotations that its pod needs. Raises DockerError."""
    text = container.text("User")
    if not text:
        return {}
    name, _, group = text.partition(":")
    by_name = bool(group) and not group.isdecimal()
    if group and not by_name:
        security["runAsGroup"] = int(group)
    if name.isdecimal() and not by_name:
        security["runAsUser"] = int(name)
        return {}
    # The runtime looks up a group only together with its user.
    marks = {podmarks.USER: text if by_name else name}
    if not name or podmarks.validate(marks):
        raise bad(f"{container.at('User')}: {text!r} is not USER or USER:GROUP")
    return marks
