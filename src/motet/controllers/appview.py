"""What the loop of Apps reads of an App and of its pods."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.controllers import podview
from motet.controllers.podview import Condition
from motet.kinds.tasks import State
from motet.store.document import Meta


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class Replicated(_Struct, frozen=True):
    replicas: int = 1


class Global(_Struct, frozen=True):
    pass


class ReplicatedJob(_Struct, frozen=True):
    max_concurrent: int = 1
    total_completions: int = 1


class Mode(msgspec.Struct, gc=False, frozen=True):
    replicated: Replicated | None = None
    global_: Global | None = msgspec.field(default=None, name="global")
    replicated_job: ReplicatedJob | None = msgspec.field(default=None, name="replicatedJob")
    global_job: Global | None = msgspec.field(default=None, name="globalJob")


class Update(_Struct, frozen=True):
    """How to move to another version. Seconds may have fractions."""

    parallelism: int = 1
    delay_seconds: float = 0.0
    order: str = "stop-first"
    monitor_seconds: float = 5.0
    failure_action: str = "pause"
    max_failure_ratio: float = 0.0
    minimum_healthy_percent: int = 0
    maximum_percent: int | None = None

    @property
    def start_first(self) -> bool:
        return self.order == "start-first"


class Restart(_Struct, frozen=True):
    """When a task that ended gets a successor."""

    condition: str = "any"
    delay_seconds: float = 5.0
    max_attempts: int = 0
    window_seconds: float = 0.0


class Preference(_Struct, frozen=True):
    spread: str = ""


class Placement(_Struct, frozen=True):
    constraints: tuple[str, ...] | None = None
    preferences: tuple[Preference, ...] | None = None
    max_replicas_per_node: int = 0


class Schedule(_Struct, frozen=True):
    """When a job runs. The deadline is in seconds."""

    cron: str = ""
    time_zone: str | None = None
    overlap: str = "skip"
    starting_deadline_seconds: int | None = None


class Dependency(_Struct, frozen=True):
    name: str = ""
    condition: str = "started"


class Autoscale(_Struct, frozen=True):
    """Between how many replicas, and at which share of the requested CPU."""

    min_replicas: int = 1
    max_replicas: int = 1
    cpu_percent: int = 80


class AppSpec(_Struct, frozen=True):
    mode: Mode = Mode()
    update: Update = Update()
    rollback: Update | None = None
    restart: Restart | None = None
    placement: Placement = Placement()
    task_history_limit: int | None = None
    revision_history_limit: int = 10
    force_update: int = 0
    paused: bool = False
    schedule: Schedule | None = None
    depends_on: tuple[Dependency, ...] | None = None
    autoscale: Autoscale | None = None
    template: dict[str, Any] = {}


class UpdateRecord(_Struct, frozen=True, omit_defaults=True):
    """How an update goes, as `status.update` has it."""

    state: str = ""
    version: str = ""
    started_at: str = ""
    completed_at: str | None = None
    message: str = ""
    failures: int = 0


class JobRecord(_Struct, frozen=True):
    iteration: int = 0
    completed: int = 0
    active: int = 0
    failed: int = 0
    started_at: str | None = None
    completed_at: str | None = None


class ScheduleRecord(_Struct, frozen=True, omit_defaults=True):
    """How a schedule goes, as `status.schedule` has it. `since`: times before then are done with. `version`: of the latest
    run. `forced`: the `forceUpdate` that has been followed."""

    words: str = ""
    since: str = ""
    last_run_time: str | None = None
    next_run_time: str | None = None
    version: str = ""
    forced: int = 0


class AppStatus(_Struct, frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()
    selector: str = ""
    desired_replicas: int = 0
    version: str = ""
    current_revision: str = ""
    previous_revision: str = ""
    update: UpdateRecord | None = None
    job: JobRecord | None = None
    schedule: ScheduleRecord | None = None
    dependencies_met_for: str = ""


class AppView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: AppSpec = AppSpec()
    status: AppStatus = AppStatus()

    @property
    def everywhere(self) -> bool:
        """Its slots are nodes."""
        return self.spec.mode.global_ is not None or self.spec.mode.global_job is not None

    @property
    def is_job(self) -> bool:
        return self.spec.mode.replicated_job is not None or self.spec.mode.global_job is not None

    @property
    def keeps_stopped(self) -> bool:
        """Pods that are stopped are kept as history."""
        return bool(self.spec.task_history_limit)


class TaskContainer(podview.ContainerStatus, gc=False, frozen=True, rename="camel"):
    state: State = State()
    last_state: State = State()


class TaskStatus(podview.PodStatus, gc=False, frozen=True, rename="camel"):
    container_statuses: tuple[TaskContainer, ...] | None = None


class TaskPod(podview.PodView, gc=False, frozen=True, rename="camel"):
    """A pod of an App, with how its containers ended."""

    status: TaskStatus = TaskStatus()
