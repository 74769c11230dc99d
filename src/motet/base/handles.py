"""How many files and connections this process may have open."""

from __future__ import annotations

import resource


def allow_all() -> None:
    """As many as the machine lets us: a shell's usual 1,024 are too few for a manager of a hundred nodes.

    Not for processes that start others' programs, some of which walk through every number up to the limit.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
