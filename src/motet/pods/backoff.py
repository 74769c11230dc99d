"""How long a crashed container is held back (kubelet: 10 s, doubling up to 5 min, forgotten after 10 min of running).

The delay in force is an annotation on the container itself, so it survives the agent. The first restart is immediate, as
upstream's is.
"""

from __future__ import annotations

from motet.pods.model import BACKOFF, seconds
from motet.runtime.interface import Container

FIRST = 10
LONGEST = 300
FORGET_AFTER = 600
# containerd's clock is this machine's; a container may end just after we looked at it.
_LATE_NEWS = 5.0


def _healthy_long_enough(dead: Container) -> bool:
    return seconds(dead.finished_at - (dead.started_at or dead.created_at)) > FORGET_AFTER


def held_back(dead: Container) -> int:
    """Seconds after its end during which the exited container `dead` is not replaced."""
    return 0 if _healthy_long_enough(dead) else int(dead.annotations.get(BACKOFF, "0"))


def restart_at(dead: Container) -> float:
    """The instant from which `dead` may be replaced."""
    return seconds(dead.finished_at) + held_back(dead)


def waiting(since: float, until: float, now: float) -> bool:
    """Whether what happened at `since` is still to be waited out at `now`.

    Not when it lies in the future: then somebody has set the clock back, and the wait could be of any length.
    """
    return since - _LATE_NEWS <= now < until


def following(dead: Container | None) -> int:
    """The back-off to write on the replacement of `dead` (None: on the first container)."""
    if dead is None:
        return 0
    return min(max(FIRST, held_back(dead) * 2), LONGEST)


def grown(previous: float | None, first: float = FIRST, longest: float = LONGEST) -> float:
    """The delay after one more failure of the same thing; `previous` is the last one."""
    return first if previous is None else min(previous * 2, longest)
