"""What the Job loop reads of jobs and of their pods."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from motet.controllers import podview
from motet.controllers.podview import Condition, ContainerStatus, PodStatus, PodView
from motet.store.document import Meta

FINALIZER = "batch.kubernetes.io/job-tracking"
# Annotation and label of pods with an index; their host name and environment have it too.
INDEX = "batch.kubernetes.io/job-completion-index"
# How often pods of an index had failed before this one, failures that a policy ignores apart.
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
# Who else may be named by `managedBy` without the job being somebody else's.
MANAGER = "kubernetes.io/job-controller"


class ExitCodes(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    operator: str = "In"
    values: tuple[int, ...] = ()
    container_name: str | None = None


class ConditionPattern(msgspec.Struct, gc=False, frozen=True):
    type: str
    status: str = "True"


class FailureRule(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    action: str = "Count"
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: tuple[ConditionPattern, ...] | None = None


class FailurePolicy(msgspec.Struct, gc=False, frozen=True):
    rules: tuple[FailureRule, ...] = ()


class SuccessRule(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(msgspec.Struct, gc=False, frozen=True):
    rules: tuple[SuccessRule, ...] = ()


class JobSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    parallelism: int = 1
    completions: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    pod_failure_policy: FailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    selector: dict[str, Any] | None = None
    template: dict[str, Any] = {}
    ttl_seconds_after_finished: int | None = None
    completion_mode: str = "NonIndexed"
    suspend: bool = False
    pod_replacement_policy: str = ""
    managed_by: str | None = None


class Uncounted(msgspec.Struct, gc=False, frozen=True):
    """Uids of pods that have ended, whose finalizer may be on them still, and that are in no count yet."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobCondition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str
    status: str = "True"
    last_probe_time: str | None = None
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class JobStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    conditions: tuple[JobCondition, ...] = ()
    start_time: str | None = None
    completion_time: str | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int | None = None
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: Uncounted | None = None
    ready: int | None = None

    def condition(self, type: str) -> JobCondition | None:
        """The condition of that type if it holds."""
        return next((each for each in self.conditions if each.type == type and each.status == "True"), None)


class JobView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    def finished(self) -> JobCondition | None:
        """The condition that says that nothing more will happen."""
        return self.status.condition("Complete") or self.status.condition("Failed")

    def indexed(self) -> bool:
        return self.spec.completion_mode == "Indexed"

    def per_index(self) -> bool:
        """Failures are counted by index."""
        return self.indexed() and self.spec.backoff_limit_per_index is not None

    def replaces_only_failed(self) -> bool:
        """A pod that is being deleted counts, as active and as not yet failed, until it has ended."""
        return self.spec.pod_replacement_policy == "Failed" or self.spec.pod_failure_policy is not None


class Terminated(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    exit_code: int = 0
    finished_at: str | None = None


class ContainerState(msgspec.Struct, gc=False, frozen=True):
    terminated: Terminated | None = None


class JobContainerStatus(ContainerStatus, gc=False, frozen=True, rename="camel"):
    name: str = ""
    state: ContainerState = ContainerState()


class JobPodStatus(PodStatus, gc=False, frozen=True, rename="camel"):
    container_statuses: tuple[JobContainerStatus, ...] | None = None
    init_container_statuses: tuple[JobContainerStatus, ...] | None = None

    def everything(self) -> tuple[JobContainerStatus, ...]:
        return (*(self.container_statuses or ()), *(self.init_container_statuses or ()))


class JobPod(PodView, gc=False, frozen=True, rename="camel"):
    status: JobPodStatus = JobPodStatus()

    def tracked(self) -> bool:
        """It is not counted yet."""
        return FINALIZER in (self.metadata.finalizers or ())

    def leaving(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    def index(self) -> int | None:
        text = (self.metadata.annotations or {}).get(INDEX, "")
        return int(text) if text.isascii() and text.isdigit() else None

    def number(self, annotation: str) -> int:
        """A count kept in an annotation."""
        text = (self.metadata.annotations or {}).get(annotation, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    def finished_at(self, now: datetime) -> datetime:
        """When it ended, as well as anybody knows."""
        ends = [each.state.terminated.finished_at for each in self.status.everything() if each.state.terminated]
        times = [podview.instant(end) for end in ends if end]
        if times:
            return max(times)
        ready = self._ready()
        text = (ready.last_transition_time if ready else None) or self.metadata.deletion_timestamp
        return min(podview.instant(text), now) if text else now

    def _ready(self) -> Condition | None:
        condition = podview.ready_condition(self)
        return condition if condition is not None and condition.status == "False" else None
