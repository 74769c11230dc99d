"""When a pod of a Job has failed, whether that counts, and how long it takes until the next one.

The rules of `podFailurePolicy` and the back-off (10 s, doubling, at most 10 minutes) are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from motet.base import indexes
from motet.controllers.jobview import (
    FAILURES,
    IGNORED_FAILURES,
    ConditionPattern,
    ExitCodes,
    FailurePolicy,
    JobContainerStatus,
    JobPod,
    JobView,
    SuccessPolicy,
)
from motet.controllers.podview import Condition

_FIRST_BACKOFF = 10.0
_LONGEST_BACKOFF = 600.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy says of a failed pod. `job_message` is why the whole job fails, if it does."""

    counts: bool = True
    action: str = ""
    job_message: str = ""


def has_failed(pod: JobPod, job: JobView) -> bool:
    """It ended badly, or (unless only such pods are replaced) somebody is deleting it."""
    if pod.status.phase == "Failed":
        return True
    return not job.replaces_only_failed() and pod.leaving() and pod.status.phase != "Succeeded"


def judge(policy: FailurePolicy | None, pod: JobPod) -> Judgement:
    """The first rule that matches decides; without one the failure counts."""
    for number, rule in enumerate(policy.rules if policy else ()):
        what = ""
        where = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if rule.on_exit_codes is not None:
            container = _exited(pod, rule.on_exit_codes)
            if container is not None and container.state.terminated is not None:
                code = container.state.terminated.exit_code
                what = f"Container {container.name} for pod {where} failed with exit code {code}"
        elif (condition := _condition(pod, rule.on_pod_conditions or ())) is not None:
            what = f"Pod {where} has condition {condition.type}"
        if what:
            message = f"{what} matching {rule.action} rule at index {number}" if rule.action == "FailJob" else ""
            return Judgement(rule.action != "Ignore", rule.action, message)
    return Judgement()


def _exited(pod: JobPod, wanted: ExitCodes) -> JobContainerStatus | None:
    for container in pod.status.everything():
        ended = container.state.terminated
        if ended is None or ended.exit_code == 0 or wanted.container_name not in (None, container.name):
            continue
        if (ended.exit_code in wanted.values) == (wanted.operator == "In"):
            return container
    return None


def _condition(pod: JobPod, patterns: Iterable[ConditionPattern]) -> Condition | None:
    for pattern in patterns:
        for condition in pod.status.conditions or ():
            if (condition.type, condition.status) == (pattern.type, pattern.status):
                return condition
    return None


def fails_index(pod: JobPod, job: JobView) -> bool:
    """With this failed pod its index has failed for good."""
    judgement = judge(job.spec.pod_failure_policy, pod)
    if judgement.action == "FailIndex":
        return True
    return judgement.counts and pod.number(FAILURES) >= (job.spec.backoff_limit_per_index or 0)


def failures_after(pod: JobPod | None, job: JobView) -> tuple[int, int]:
    """Failures of an index, counted and ignored ones, of which `pod` is the last."""
    if pod is None:
        return 0, 0
    counts = judge(job.spec.pod_failure_policy, pod).counts
    return pod.number(FAILURES) + counts, pod.number(IGNORED_FAILURES) + (not counts)


def wait_after(pod: JobPod, job: JobView, now: datetime) -> float:
    """Seconds until the pod that takes `pod`'s index may be made."""
    return _left(sum(failures_after(pod, job)), pod.finished_at(now), now)


def wait(failures: Mapping[str, datetime], last_success: datetime | None, now: datetime) -> float:
    """Seconds until the next pod may be made, given when pods failed and when one last succeeded."""
    since = [at for at in failures.values() if last_success is None or at > last_success]
    return _left(len(since), max(since), now) if since else 0.0


def _left(times: int, last: datetime, now: datetime) -> float:
    delay = min(_FIRST_BACKOFF * float(2 ** min(times - 1, 20)), _LONGEST_BACKOFF)
    return max(0.0, delay - (now - last).total_seconds())


def restarted_too_often(job: JobView, pods: Sequence[JobPod]) -> bool:
    """Containers that are restarted in place count against the limit as well."""
    spec = job.spec
    if (spec.template.get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    running = (pod for pod in pods if pod.status.phase in ("Running", "Pending"))
    restarts = sum(each.restart_count for pod in running for each in pod.status.everything())
    return restarts > 0 if spec.backoff_limit == 0 else restarts >= spec.backoff_limit


def succeeds(policy: SuccessPolicy | None, completions: int, succeeded: frozenset[int]) -> str:
    """Which rule of a success policy is met, in upstream's words; empty for none."""
    for number, rule in enumerate(policy.rules if policy and succeeded else ()):
        found = succeeded
        needed = rule.succeeded_count
        if rule.succeeded_indexes is not None:
            wanted = indexes.parse(rule.succeeded_indexes, completions)
            found = succeeded & wanted
            needed = len(wanted) if needed is None else needed
        if needed is not None and len(found) >= needed:
            return f"Matched rules at index {number}"
    return ""
