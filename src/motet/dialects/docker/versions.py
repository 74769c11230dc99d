"""Versions of the Engine API: what we speak, and what a request asks for."""

from __future__ import annotations

import re
from typing import NamedTuple

from motet.dialects.docker.errors import bad


class Version(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


NEWEST = Version(1, 51)
OLDEST = Version(1, 24)

_PREFIX = re.compile(r"/v(\d{1,3})\.(\d{1,3})(?=/)")


def split(path: str) -> tuple[Version, str]:
    """The version a path asks for, the newest without a word, and the rest of it. Raises DockerError 400."""
    found = _PREFIX.match(path)
    if found is None:
        return NEWEST, path
    asked = Version(int(found[1]), int(found[2]))
    if asked > NEWEST:
        raise bad(f"client version {asked} is too new. Maximum supported API version is {NEWEST}")
    if asked < OLDEST:
        raise bad(
            f"client version {asked} is too old. Minimum supported API version is {OLDEST}, please upgrade your client to a "
            "newer version"
        )
    return asked, path[found.end() :]
