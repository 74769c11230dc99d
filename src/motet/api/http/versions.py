"""How far apart the Motet of a node and that of its manager may be: one minor version, either way.

Every client of ours says its version in `User-Agent`. A node that is too far off is refused in words, and its pods run on: that is
better than half an understanding. Whoever says no version is not asked.
"""

from __future__ import annotations

import re
from functools import lru_cache

from motet.base import release
from motet.base.errors import VERSION_SKEW, BadRequest

_OURS = re.compile(r"motet[a-z-]*/(\d{1,6})\.(\d{1,6})\.\d+")


def check(user_agent: str, ours: str = release.VERSION) -> None:
    """Raises BadRequest (reason `VersionSkew`) for a version that is too far from `ours`."""
    if problem := _problem(user_agent[:200], ours):
        raise BadRequest(problem, reason=VERSION_SKEW)


@lru_cache(maxsize=256)
def _problem(user_agent: str, ours: str) -> str:
    found = _OURS.match(user_agent)
    if found is None:
        return ""
    theirs = (int(found[1]), int(found[2]))
    major, minor = (int(part) for part in ours.split(".")[:2])
    if theirs[0] == major and abs(theirs[1] - minor) <= 1:
        return ""
    node, manager = user_agent.partition("/")[2].split(" ")[0], ours
    older = "the node" if theirs < (major, minor) else "the manager"
    return (
        f"a node with Motet {node} and a manager with Motet {manager} do not work together: at most one minor version "
        f"may lie between them; upgrade {older} first, one minor version at a time"
    )
