"""Whether a slot whose pod ended gets another one, and when: pure.

Each successor carries how many came before it, and the times of those that the window still sees, so that neither a pruned history
nor another manager forgets attempts (swarmkit counts them in memory: manager/orchestrator/restart).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from motet.base import timestamps
from motet.controllers import podview
from motet.controllers.apptasks import ended_at, ended_by_itself, ended_well
from motet.controllers.appview import Restart, TaskPod
from motet.kinds import tasks


class Next(Enum):
    """What becomes of a slot without a pod."""

    START = "start"
    WAIT = "wait"
    DONE = "done"  # its work is done
    FAILED = "failed"  # and it may not be tried again


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a pod carries: successors in its slot so far, and when those were that still count (RFC 3339)."""

    restarts: int = 0
    times: tuple[str, ...] = ()

    def annotations(self) -> dict[str, str]:
        marks = {tasks.RESTARTS: str(self.restarts)} if self.restarts else {}
        return {**marks, tasks.RESTART_TIMES: ",".join(self.times)} if self.times else marks


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wait` is in seconds; `attempt` what the pod to start carries."""

    next: Next
    attempt: Attempt = Attempt()
    wait: float = 0.0


def attempt_of(pod: TaskPod) -> Attempt:
    marks = pod.metadata.annotations or {}
    count, times = marks.get(tasks.RESTARTS, ""), marks.get(tasks.RESTART_TIMES, "")
    return Attempt(int(count) if count.isdecimal() else 0, tuple(times.split(",")) if times else ())


def decide(policy: Restart | None, ended: Sequence[TaskPod], now: datetime, *, job: bool = False) -> Verdict:
    """About a slot whose pods of the present version are all `ended` or going, the newest first.

    Without a policy pods restart by themselves, so one that ended for good has done its work.
    """
    if not ended:
        return Verdict(Next.START)
    newest = ended[0]
    if policy is None:
        if any(map(ended_well, ended)):
            return Verdict(Next.DONE)
        gone = any(podview.has_done_its_work(pod) for pod in ended)
        return Verdict(Next.FAILED if gone else Next.START)
    if job and any(map(ended_well, ended)):
        return Verdict(Next.DONE)
    so_far = attempt_of(newest)
    if not ended_by_itself(newest):
        return Verdict(Next.START, so_far)
    if ended_well(newest):
        if policy.condition != "any":
            return Verdict(Next.DONE)
    elif policy.condition == "none":
        return Verdict(Next.FAILED)
    return _again(policy, so_far, ended_at(newest, now), now)


def _again(policy: Restart, so_far: Attempt, ended: datetime, now: datetime) -> Verdict:
    times: tuple[str, ...] = ()
    if policy.max_attempts:
        counted = so_far.restarts
        if policy.window_seconds:
            times = tuple(
                each
                for each in so_far.times
                if (ended - timestamps.parse_time(each)).total_seconds() < policy.window_seconds
            )
            counted = len(times)
        if counted >= policy.max_attempts:
            return Verdict(Next.FAILED)
    left = policy.delay_seconds - (now - ended).total_seconds()
    if left > 0:
        return Verdict(Next.WAIT, wait=left)
    if policy.max_attempts and policy.window_seconds:
        times = (*times, timestamps.format_time(now))
    return Verdict(Next.START, Attempt(so_far.restarts + 1, times))
