"""What a Job does next, as a function of what there is.

Every pod carries a finalizer until it has been counted, so that no end of a pod is missed or counted twice, whoever deletes it
and whenever we crash: its uid goes into the status (`uncountedTerminatedPods`), then the finalizer comes off, then the uid
becomes one more in the count. A job that is decided says so in an interim condition (`SuccessCriteriaMet`, `FailureTarget`),
ends what still runs, and is `Complete` or `Failed` when the last pod has ended. Rules, words and numbers are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from motet.base import indexes, timestamps
from motet.client.events import NORMAL, WARNING
from motet.controllers import jobfailures, podview
from motet.controllers.jobview import JobCondition, JobPod, JobStatus, JobView, Uncounted
from motet.controllers.replicaset import ranked

# Pods made or deleted, and uids noted, in one step: a large job does not keep others waiting.
MOST_AT_ONCE = 500
_SUCCESS = "SuccessCriteriaMet"
_FAILURE = "FailureTarget"


@dataclass(frozen=True, slots=True)
class NewPod:
    """`failures` and `ignored`: how often pods of its index have failed already, where that is kept by index."""

    index: int | None = None
    failures: int | None = None
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """An event about the job."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes in this order: the status, then finalizers off `release`, then `delete`, `withdraw` and `create`.

    `withdraw` are not to be counted: their finalizer comes off before they are deleted. `failures` are to be remembered.
    """

    status: JobStatus
    release: tuple[JobPod, ...] = ()
    delete: tuple[JobPod, ...] = ()
    withdraw: tuple[JobPod, ...] = ()
    create: tuple[NewPod, ...] = ()
    failures: Mapping[str, datetime] | None = None
    look_again: float | None = None
    events: tuple[Told, ...] = ()

    def acts(self) -> bool:
        return bool(self.release or self.delete or self.withdraw or self.create)


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is: the job, the pods it controls, and the failures remembered from earlier (uid -> when)."""

    job: JobView
    pods: Sequence[JobPod]
    now: datetime
    failures: Mapping[str, datetime]


def decide(scene: Scene) -> Plan:
    """The next writes."""
    if scene.job.finished() is not None:
        return Plan(scene.job.status)
    return _Step(scene).plan()


class _Step:
    """One decision being made."""

    def __init__(self, scene: Scene) -> None:
        self._job = job = scene.job
        self._now = scene.now
        self._pods = scene.pods
        self._tracked = [pod for pod in scene.pods if pod.tracked()]
        self._active = [pod for pod in scene.pods if podview.is_active(pod)]
        self._terminating = [pod for pod in scene.pods if pod.leaving() and not podview.is_finished(pod)]
        self._failed = [pod for pod in self._tracked if jobfailures.has_failed(pod, job)]
        self._remembered = scene.failures
        self._leaving = job.metadata.deletion_timestamp is not None
        self._conditions = list(job.status.conditions)
        self._events: list[Told] = []
        self._waits: list[float] = []
        self._start = job.status.start_time
        self._count_released()
        self._count_indexes()

    # -- counts --------------------------------------------------------------------------------------------------

    def _count_released(self) -> None:
        """Uids that were noted and whose finalizer is gone become counts."""
        status = self._job.status
        noted = status.uncounted_terminated_pods or Uncounted()
        still = {pod.metadata.uid for pod in self._tracked}
        self._noted_success = [uid for uid in noted.succeeded if uid in still]
        self._noted_failure = [uid for uid in noted.failed if uid in still]
        self._succeeded = status.succeeded + len(noted.succeeded) - len(self._noted_success)
        self._failures = status.failed + len(noted.failed) - len(self._noted_failure)

    def _count_indexes(self) -> None:
        status, completions = self._job.status, self._job.spec.completions
        self._done: frozenset[int] = frozenset()
        self._given_up: frozenset[int] = frozenset()
        self._held: dict[int, JobPod] = {}
        if not self._job.indexed():
            return
        fresh = (pod.index() for pod in self._tracked if pod.status.phase == "Succeeded")
        done = {index for index in fresh if index is not None and self._valid(index)}
        self._done = indexes.parse(status.completed_indexes, completions) | done
        self._succeeded = len(self._done)
        if self._job.per_index():
            failed = (pod.index() for pod in self._failed if jobfailures.fails_index(pod, self._job))
            lost = {index for index in failed if index is not None and self._valid(index)}
            self._given_up = indexes.parse(status.failed_indexes or "", completions) | lost
            self._hold()

    def _valid(self, index: int | None) -> bool:
        return index is not None and index < (self._job.spec.completions or 0)

    def _hold(self) -> None:
        """The last failed pod of an index stays tracked until its successor is there: it knows how often that index failed."""
        running = {pod.index() for pod in self._active}
        for pod in self._failed:
            index = pod.index()
            if index is None or index in running or index in self._done or index in self._given_up:
                continue
            known = self._held.get(index)
            if known is None or self._rank(known) <= self._rank(pod):
                self._held[index] = pod

    def _rank(self, pod: JobPod) -> tuple[int, datetime]:
        return sum(jobfailures.failures_after(pod, self._job)), pod.finished_at(self._now)

    def _successes(self) -> int:
        """Counted, noted and new ones."""
        if self._job.indexed():
            return len(self._done)
        return self._succeeded + len(self._noted_success) + len(self._new_successes())

    def _new_successes(self) -> list[JobPod]:
        noted = {*self._noted_success, *self._noted_failure}
        return [pod for pod in self._tracked if pod.status.phase == "Succeeded" and pod.metadata.uid not in noted]

    def _all_failures(self) -> int:
        """Counted, noted and new ones, but for those a policy ignores."""
        noted = set(self._noted_failure)
        policy = self._job.spec.pod_failure_policy
        new = (pod for pod in self._failed if pod.metadata.uid not in noted)
        return self._failures + len(noted) + sum(jobfailures.judge(policy, pod).counts for pod in new)

    # -- the verdict -----------------------------------------------------------------------------------------------

    def _verdict(self) -> JobCondition | None:
        """Whether the job is decided, apart from having all its completions."""
        status = self._job.status
        known = status.condition(_SUCCESS) or status.condition(_FAILURE)
        if known is not None:
            return known
        for pod in self._failed:
            if message := jobfailures.judge(self._job.spec.pod_failure_policy, pod).job_message:
                return self._condition(_FAILURE, "PodFailurePolicy", message)
        return self._limits() or self._index_limits() or self._success_policy()

    def _limits(self) -> JobCondition | None:
        spec = self._job.spec
        too_often = self._all_failures() > spec.backoff_limit
        if too_often or jobfailures.restarted_too_often(self._job, self._pods):
            return self._condition(_FAILURE, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if spec.active_deadline_seconds is None or self._start is None or spec.suspend:
            return None
        left = spec.active_deadline_seconds - (self._now - podview.instant(self._start)).total_seconds()
        if left <= 0:
            return self._condition(_FAILURE, "DeadlineExceeded", "Job was active longer than specified deadline")
        self._waits.append(left)
        return None

    def _index_limits(self) -> JobCondition | None:
        most = self._job.spec.max_failed_indexes
        if most is not None and len(self._given_up) > most:
            message = "Job has exceeded the specified maximal number of failed indexes"
            return self._condition(_FAILURE, "MaxFailedIndexesExceeded", message)
        if self._given_up and len(self._given_up | self._done) >= (self._job.spec.completions or 0):
            return self._condition(_FAILURE, "FailedIndexes", "Job has failed indexes")
        return None

    def _success_policy(self) -> JobCondition | None:
        message = jobfailures.succeeds(self._job.spec.success_policy, self._job.spec.completions or 0, self._done)
        return self._condition(_SUCCESS, "SuccessPolicy", message) if message else None

    def _condition(self, type: str, reason: str, message: str, status: str = "True") -> JobCondition:
        stamp = timestamps.format_time(self._now)
        return JobCondition(type, status, stamp, stamp, reason, message)

    # -- the pods --------------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        spec = self._job.spec
        if not spec.suspend:
            self._begin()
        verdict = self._verdict()
        delete: list[JobPod] = []
        withdraw: list[JobPod] = []
        create: list[NewPod] = []
        failures = self._known_failures()
        if verdict is not None:
            delete = self._active[:MOST_AT_ONCE]
        elif not self._leaving:
            withdraw = self._surplus()
            if not withdraw:
                create = self._missing(failures)
            if self._complete() and not (create or withdraw):
                message = "Reached expected number of succeeded pods"
                verdict = self._condition(_SUCCESS, "CompletionsReached", message)
            elif spec.suspend:
                self._suspend()
        release = self._release(verdict, withdraw)
        ended = verdict is not None and self._end(verdict, release)
        status = self._status([*delete, *withdraw], len(create), ended=ended)
        look_again = min(self._waits, default=None)
        gone, ours, made = tuple(delete), tuple(withdraw), tuple(create)
        return Plan(status, tuple(release), gone, ours, made, failures, look_again, tuple(self._events))

    def _complete(self) -> bool:
        completions = self._job.spec.completions
        enough = self._successes() > 0 if completions is None else self._successes() >= completions
        return enough and not self._active

    def _wanted(self) -> int:
        spec = self._job.spec
        if spec.suspend:
            return 0
        if spec.completions is None:
            # Once one has succeeded, the others know that the work is done: let them finish.
            return len(self._active) if self._successes() > 0 else spec.parallelism
        return max(0, min(spec.completions - self._successes(), spec.parallelism))

    def _surplus(self) -> list[JobPod]:
        given_up = self._doubles() if self._job.indexed() else []
        left = [pod for pod in self._active if pod not in given_up]
        more = len(self._active) - len(given_up) - self._wanted()
        if more > 0:
            order = ranked(left, self._now)
            by_uid = {pod.metadata.uid: pod for pod in left}
            given_up += [by_uid[pod.metadata.uid] for pod in order[:more]]
        return given_up[:MOST_AT_ONCE]

    def _doubles(self) -> list[JobPod]:
        """Pods of an index there is no room for, and all but the best of each index."""
        by_index: dict[int | None, list[JobPod]] = {}
        for pod in self._active:
            by_index.setdefault(pod.index(), []).append(pod)
        surplus: list[JobPod] = []
        for index, pods in by_index.items():
            best = ranked(pods, self._now)[-1].metadata.uid if self._valid(index) else ""
            surplus += [pod for pod in pods if pod.metadata.uid != best]
        return surplus

    def _missing(self, failures: Mapping[str, datetime]) -> list[NewPod]:
        waited_for = len(self._terminating) if self._job.replaces_only_failed() else 0
        missing = min(self._wanted() - waited_for - len(self._active), MOST_AT_ONCE)
        if missing <= 0:
            return []
        if not self._job.per_index():
            successes = [pod.finished_at(self._now) for pod in self._pods if pod.status.phase == "Succeeded"]
            wait = jobfailures.wait(failures, max(successes, default=None), self._now)
            if wait > 0:
                self._waits.append(wait)
                return []
        if not self._job.indexed():
            return [NewPod()] * missing
        return list(self._next_indexes(missing))

    def _next_indexes(self, count: int) -> Iterable[NewPod]:
        """Pods for the lowest indexes that are neither done, given up nor being worked on."""
        busy = {*self._done, *self._given_up, *(pod.index() for pod in self._active)}
        if self._job.replaces_only_failed():
            busy |= {pod.index() for pod in self._terminating}
        for index in range(self._job.spec.completions or 0):
            if count <= 0:
                return
            if index in busy:
                continue
            if not self._job.per_index():
                count -= 1
                yield NewPod(index)
                continue
            held = self._held.get(index)
            wait = jobfailures.wait_after(held, self._job, self._now) if held else 0.0
            if wait > 0:
                self._waits.append(wait)
            else:
                count -= 1
                yield NewPod(index, *jobfailures.failures_after(held, self._job))

    def _known_failures(self) -> dict[str, datetime]:
        """All failures that the back-off counts; pods that were withdrawn have not failed."""
        known = dict(self._remembered)
        for pod in self._pods:
            ended = pod.status.phase == "Failed" and not pod.leaving()
            if pod.metadata.uid not in known and (ended or (pod.tracked() and jobfailures.has_failed(pod, self._job))):
                known[pod.metadata.uid] = pod.finished_at(self._now)
        return known

    # -- the end ---------------------------------------------------------------------------------------------------

    def _release(self, verdict: JobCondition | None, withdrawn: Sequence[JobPod]) -> list[JobPod]:
        """Pods to take the finalizer off, their uids noted if they are to be counted."""
        held = {pod.metadata.uid for pod in self._held.values()}
        going = {pod.metadata.uid for pod in withdrawn}
        over = verdict is not None or self._leaving
        release: list[JobPod] = []
        for pod in self._tracked:
            uid = pod.metadata.uid
            succeeded, failed = pod.status.phase == "Succeeded", jobfailures.has_failed(pod, self._job)
            if uid in going or not (over or succeeded or (failed and uid not in held)):
                continue
            if len(release) >= MOST_AT_ONCE:
                break
            release.append(pod)
            if uid in self._noted_success or uid in self._noted_failure:
                continue
            if succeeded:
                if not self._job.indexed():
                    self._noted_success.append(uid)
            elif failed or (verdict is not None and verdict.type == _FAILURE):
                self._note_failure(pod)
        return release

    def _note_failure(self, pod: JobPod) -> None:
        countable = not self._job.indexed() or self._valid(pod.index())
        if countable and jobfailures.judge(self._job.spec.pod_failure_policy, pod).counts:
            self._noted_failure.append(pod.metadata.uid)

    def _end(self, verdict: JobCondition, release: Sequence[JobPod]) -> bool:
        """Say what the verdict is; whether that was the last word."""
        if self._job.status.condition(verdict.type) is None:
            self._conditions.append(verdict)
        waiting = self._active or self._terminating or self._noted_success or self._noted_failure
        if waiting or release or any(pod.tracked() for pod in self._pods):
            return False
        done = verdict.type == _SUCCESS
        self._conditions.append(self._condition("Complete" if done else "Failed", verdict.reason, verdict.message))
        told = Told(NORMAL, "Completed", "Job completed") if done else Told(WARNING, verdict.reason, verdict.message)
        self._events.append(told)
        return True

    def _begin(self) -> None:
        """For the first time, or after a suspension: the deadline counts from here."""
        old = next((each for each in self._conditions if each.type == "Suspended" and each.status == "True"), None)
        if old is not None:
            self._put(old, self._condition("Suspended", "JobResumed", "Job resumed", "False"))
            self._events.append(Told(NORMAL, "Resumed", "Job resumed"))
        if old is not None or self._start is None:
            self._start = timestamps.format_time(self._now)

    def _suspend(self) -> None:
        old = next((each for each in self._conditions if each.type == "Suspended"), None)
        if old is None or old.status != "True":
            self._put(old, self._condition("Suspended", "JobSuspended", "Job suspended"))
            self._events.append(Told(NORMAL, "Suspended", "Job suspended"))

    def _put(self, old: JobCondition | None, new: JobCondition) -> None:
        if old is None:
            self._conditions.append(new)
        else:
            self._conditions[self._conditions.index(old)] = new

    def _status(self, removed: Sequence[JobPod], created: int, *, ended: bool) -> JobStatus:
        gone = {pod.metadata.uid for pod in removed}
        staying = [pod for pod in self._active if pod.metadata.uid not in gone]
        # Those that never had a node are gone at once.
        lingering = sum(bool(pod.spec.node_name) for pod in removed)
        complete = ended and any(each.type == "Complete" for each in self._conditions)
        return msgspec.structs.replace(
            self._job.status,
            conditions=tuple(self._conditions),
            start_time=self._start,
            completion_time=timestamps.format_time(self._now) if complete else self._job.status.completion_time,
            active=len(staying) + created,
            succeeded=self._succeeded,
            failed=self._failures,
            ready=sum(podview.is_ready(pod) for pod in staying),
            terminating=len(self._terminating) + lingering,
            completed_indexes=indexes.show(self._done),
            failed_indexes=indexes.show(self._given_up) if self._job.per_index() else None,
            uncounted_terminated_pods=Uncounted(tuple(self._noted_success), tuple(self._noted_failure)),
        )
