"""What to do next for one pod: the state machine of a pod's life, as a plain function.

`decide` looks at the whole of it each time and answers with one step, so an agent that dies between any two steps simply
decides again. The table of states is drawn in docs/design/pods.md. Semantics follow the kubelet (computePodActions,
computeInitContainerActions, doBackOff, the pod worker's terminating and terminated phases).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from motet.base.timestamps import parse_time
from motet.pods import backoff, resizing
from motet.pods.model import (
    IMAGE,
    RESIZE,
    SANDBOX,
    VOLUMES,
    Cleanup,
    CreateContainer,
    CreateSandbox,
    Decision,
    EnsureImage,
    Final,
    FinishDeletion,
    Health,
    Kill,
    Observed,
    Prepare,
    Records,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainers,
    StopSandbox,
    seconds,
)
from motet.pods.spec import ContainerSpec, Pod, quiet
from motet.runtime.interface import Container, ContainerState, Sandbox

# A pod that vanished from the API without a word, or was deleted by force, still gets a moment to stop.
ABANDONED_GRACE = 2


def decide(pod: Pod, observed: Observed, records: Records, now: float, *, gone: bool = False) -> Decision:
    """The next step of `pod` at `now`. `gone`: the API no longer has it, `pod` is the last that was seen."""
    if gone or pod.metadata.deletion_timestamp is not None:
        return _delete(pod, observed, records, gone)
    if records.unsupported:
        return _finish(pod, observed, records, Final("Pending"))
    if records.rejected is not None:
        return _finish(pod, observed, records, records.rejected)
    if records.evicted is not None:
        return _finish(pod, observed, records, records.evicted, records.eviction_grace)
    final = ending(pod, observed, now)
    if final is not None:
        return _finish(pod, observed, records, final)
    return _run(pod, observed, records, now)


# --- the end of a pod -------------------------------------------------------------------------------------------------


def ending(pod: Pod, observed: Observed, now: float) -> Final | None:
    """How the pod has ended, or None while it may still do something."""
    if quiet(pod):
        return Final(pod.status.phase, pod.status.reason or "", pod.status.message or "")
    deadline = _deadline(pod)
    if deadline is not None and now >= deadline:
        return Final("Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
    latest = [(container, observed.latest(container.name)) for container in pod.spec.containers]
    if not any(made for _, made in latest) and _init_failed(pod, observed):
        return Final("Failed")
    if any(made is None or _will_run(pod, container, made) for container, made in latest):
        return None
    failed = any(made.exit_code != 0 for _, made in latest if made is not None)
    return Final("Failed" if failed else "Succeeded")


def _deadline(pod: Pod) -> float | None:
    if pod.spec.active_deadline_seconds is None or not pod.status.start_time:
        return None
    return parse_time(pod.status.start_time).timestamp() + pod.spec.active_deadline_seconds


def _init_failed(pod: Pod, observed: Observed) -> bool:
    """Whether an init container has ended badly and will not be tried again."""
    latest = ((init, observed.latest(init.name)) for init in pod.inits if not init.sidecar)
    return any(
        dead is not None
        and dead.state is ContainerState.EXITED
        and dead.exit_code != 0
        and not restarts(pod, init, dead.exit_code)
        for init, dead in latest
    )


def _will_run(pod: Pod, container: ContainerSpec, made: Container) -> bool:
    """Whether this newest container of its name runs or will be replaced."""
    if made.state is not ContainerState.EXITED:
        return True
    return restarts(pod, container, made.exit_code) or outdated(container, made)


def outdated(container: ContainerSpec, made: Container) -> bool:
    """Whether the pod names another image by now than that which `made` was made of."""
    return made.annotations.get(IMAGE, container.image) != container.image


def restarts(pod: Pod, container: ContainerSpec, exit_code: int) -> bool:
    """Whether a container that ended so is replaced: its own rules first, then its own policy, then the pod's."""
    if any(rule.action == "Restart" and rule.holds(exit_code) for rule in container.restart_policy_rules or ()):
        return True
    policy = container.restart_policy or pod.spec.restart_policy
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _finish(pod: Pod, observed: Observed, records: Records, final: Final, grace: int | None = None) -> Decision:
    """A pod that ended keeps its dead containers (for their logs) and gives back everything else."""
    grace = pod.grace if grace is None else grace
    message = final.message or "Stopping container {name}: the pod has ended"
    return Decision(
        _stop_all(pod, observed, records, grace, message)
        or (None if records.cleaned or not (records.prepared or observed.sandboxes) else Cleanup(everything=False))
    )


def _delete(pod: Pod, observed: Observed, records: Records, gone: bool) -> Decision:
    grace = pod.metadata.deletion_grace_period_seconds
    if gone:
        grace = ABANDONED_GRACE if grace is None else min(grace, ABANDONED_GRACE)
    elif grace is None:
        grace = pod.grace
    step = _stop_all(pod, observed, records, grace, "Stopping container {name}", deleting=True)
    if step is None and observed.sandboxes:
        step = RemoveSandbox(observed.sandboxes[0].id)
    if step is None and not records.removed:
        step = Cleanup(everything=True)
    return Decision(step or FinishDeletion())


def _stop_all(
    pod: Pod, observed: Observed, records: Records, grace: int, message: str, *, deleting: bool = False
) -> Step | None:
    """Ordinary and init containers side by side, then sidecars the last one first, then the sandboxes."""
    sidecars = [init.name for init in reversed(pod.inits) if init.sidecar]
    ordinary = [container for container in _alive(observed) if container.name not in sidecars]
    if ordinary:
        return _stop(ordinary, grace, message, deleting=deleting)
    for name in sidecars:
        if alive := [container for container in _alive(observed) if container.name == name]:
            return _stop(alive, grace, message, deleting=deleting)
    return next((StopSandbox(box.id) for box in observed.sandboxes if _holds_something(box, records)), None)


def _alive(observed: Observed) -> list[Container]:
    """What may have a process. A container that was made and never started has none, and cannot be stopped either."""
    alive = (ContainerState.RUNNING, ContainerState.UNKNOWN)
    return [container for container in observed.containers if container.state in alive]


def _stillborn(observed: Observed) -> Container | None:
    """A container that was made and never started, and whose sandbox is dead: it never will be."""
    ready = {sandbox.id for sandbox in observed.sandboxes if sandbox.ready}
    made = (container for container in observed.containers if container.state is ContainerState.CREATED)
    return next((container for container in made if container.sandbox_id not in ready), None)


def _holds_something(sandbox: Sandbox, records: Records) -> bool:
    return sandbox.ready or sandbox.id not in records.stopped


def _stop(containers: Iterable[Container], grace: int, message: str, *, deleting: bool = False) -> StopContainers:
    kills = tuple(Kill(container.name, container.id) for container in containers)
    return StopContainers(kills, grace, message, deleting)


# --- the life of a pod ------------------------------------------------------------------------------------------------


def _run(pod: Pod, observed: Observed, records: Records, now: float) -> Decision:
    step = _kill_outdated(pod, observed) or _kill_unhealthy(pod, observed, records) or _drop_old(pod, observed)
    if step is not None:
        return Decision(step)
    sandbox = observed.sandbox
    wanted = list(_wanted(pod, observed, sandbox, records)) if sandbox and sandbox.ready else []
    if sandbox is None or not sandbox.ready:
        return _with_deadline(pod, _new_sandbox(pod, observed, sandbox, records, now))
    resize = _resize(pod, observed, records, now)
    if resize.step is not None:
        return resize
    waits: list[float] = [] if resize.wake_at is None else [resize.wake_at]
    for container in (*wanted, *_to_look(pod, observed)):
        decision = _bring_up(container, observed, records, sandbox, now)
        if decision.step is not None:
            return decision
        if decision.wake_at is not None:
            waits.append(decision.wake_at)
    return _with_deadline(pod, Decision(None, min(waits, default=None)))


def _with_deadline(pod: Pod, decision: Decision) -> Decision:
    deadline = _deadline(pod)
    if decision.step is not None or deadline is None:
        return decision
    return Decision(None, deadline if decision.wake_at is None else min(deadline, decision.wake_at))


def _kill_outdated(pod: Pod, observed: Observed) -> Step | None:
    for spec in (*(init for init in pod.inits if init.sidecar), *pod.spec.containers):
        made = observed.latest(spec.name)
        if made is not None and made.state is ContainerState.RUNNING and outdated(spec, made):
            return _stop([made], pod.grace, "Container {name} definition changed, will be restarted")
    return None


def _kill_unhealthy(pod: Pod, observed: Observed, records: Records) -> Step | None:
    for container in observed.running:
        health = records.health.get(container.id, Health())
        if health.failed:
            grace = pod.grace if health.grace is None else health.grace
            again = "" if pod.spec.restart_policy == "Never" else ", will be restarted"
            return _stop([container], grace, health.failed + again)
    return None


def _resize(pod: Pod, observed: Observed, records: Records, now: float) -> Decision:
    """Bring the next running container to the resources it should have; one that wants to be started anew for that is stopped."""
    change = next(resizing.changes(pod, observed, records.has), None)
    if change is None:
        return Decision()
    if change.restart:
        container = next(made for made in observed.running if made.id == change.container_id)
        return Decision(_stop([container], pod.grace, "Container {name} resize requires restart"))
    return _unless_failed(records, RESIZE, now, ResizeContainer(change.container, change.container_id, change.wanted))


def _drop_old(pod: Pod, observed: Observed) -> Step | None:
    """Keep the newest container of each name and the one before it; and only sandboxes that still hold a kept one."""
    if (stillborn := _stillborn(observed)) is not None:
        return RemoveContainer(stillborn.id)
    kept: set[str] = set()
    for spec in (*pod.everything, *pod.ephemerals):
        attempts = observed.attempts(spec.name)
        kept.update(container.sandbox_id for container in attempts[:2])
        if len(attempts) > 2:
            return RemoveContainer(attempts[-1].id)
    newest = observed.sandbox
    for sandbox in observed.sandboxes:
        if sandbox is not newest and not sandbox.ready and sandbox.id not in kept:
            return RemoveSandbox(sandbox.id)
    return None


def _new_sandbox(pod: Pod, observed: Observed, sandbox: Sandbox | None, records: Records, now: float) -> Decision:
    """The sandbox is missing or dead: what is left of the old one goes first."""
    if alive := _alive(observed):
        return Decision(_stop(alive, pod.grace, "Pod sandbox changed, it will be killed and re-created."))
    for old in observed.sandboxes:
        if _holds_something(old, records):
            return Decision(StopSandbox(old.id))
    return _prepared(records, now) or _unless_failed(
        records, SANDBOX, now, CreateSandbox(0 if sandbox is None else sandbox.attempt + 1)
    )


def _prepared(records: Records, now: float) -> Decision | None:
    return None if records.prepared else _unless_failed(records, VOLUMES, now, Prepare())


def _unless_failed(records: Records, subject: str, now: float, step: Step) -> Decision:
    failure = records.failures.get(subject)
    if failure is not None and backoff.waiting(failure.at, failure.retry_at, now):
        return Decision(None, failure.retry_at)
    return Decision(step)


def _wanted(pod: Pod, observed: Observed, sandbox: Sandbox | None, records: Records) -> Iterator[ContainerSpec]:
    """The containers that should be running now or are to be replaced: init ones up to the first unfinished, else all."""
    mains_begun = any(_in_sandbox(observed, spec.name, sandbox) for spec in pod.spec.containers)
    for init in pod.inits:
        latest = _in_sandbox(observed, init.name, sandbox)
        if init.sidecar:
            yield init
            if not mains_begun and not _sidecar_started(init, latest, records):
                return
        elif not mains_begun and not completed(latest):
            yield init
            return
    for spec in pod.spec.containers:
        latest = observed.latest(spec.name)
        if latest is None or _will_run(pod, spec, latest):
            yield spec


def _to_look(pod: Pod, observed: Observed) -> Iterator[ContainerSpec]:
    """Ephemeral containers that have not been started yet; they have one life only, in whatever state the pod is."""
    for spec in pod.ephemerals:
        latest = observed.latest(spec.name)
        if latest is None or latest.state is ContainerState.CREATED:
            yield spec


def completed(container: Container | None) -> bool:
    """Whether an init container has done its work."""
    return container is not None and container.state is ContainerState.EXITED and container.exit_code == 0


def _sidecar_started(init: ContainerSpec, latest: Container | None, records: Records) -> bool:
    if latest is None or latest.state is not ContainerState.RUNNING:
        return False
    return init.startup_probe is None or records.health.get(latest.id, Health()).started


def _in_sandbox(observed: Observed, name: str, sandbox: Sandbox | None) -> Container | None:
    latest = observed.latest(name)
    return latest if latest is not None and sandbox is not None and latest.sandbox_id == sandbox.id else None


def _bring_up(spec: ContainerSpec, observed: Observed, records: Records, sandbox: Sandbox, now: float) -> Decision:
    """The next step towards `spec` running in `sandbox`."""
    latest = observed.latest(spec.name)
    here = _in_sandbox(observed, spec.name, sandbox)
    if here is not None and here.state is ContainerState.RUNNING:
        return Decision()
    if latest is not None and here is None and latest.state is not ContainerState.EXITED:
        return Decision(_stop([latest], 0, "Stopping container {name}: its sandbox is gone"))
    failure = records.failures.get(spec.name)
    if failure is not None and backoff.waiting(failure.at, failure.retry_at, now):
        return Decision(None, _next_look(failure.at, failure.delay, now))
    if here is not None and here.state is ContainerState.UNKNOWN:
        return Decision(_stop([here], 0, "Stopping container {name}: its state is not known"))
    if here is not None and here.state is ContainerState.CREATED:
        return Decision(StartContainer(spec.name, here.id))
    if latest is not None and backoff.waiting(seconds(latest.finished_at), backoff.restart_at(latest), now):
        return Decision(None, backoff.restart_at(latest))
    if (not_prepared := _prepared(records, now)) is not None:
        return not_prepared
    attempt = 0 if latest is None else latest.attempt + 1
    made_ready, image = records.images.get(spec.name, (-1, ""))
    if made_ready != attempt:
        return Decision(EnsureImage(spec.name, attempt))
    return Decision(CreateContainer(spec.name, attempt, backoff.following(latest), sandbox.id, image))


def fresh_until(at: float, delay: float) -> float:
    """Until when a failure is shown as itself (ErrImagePull) and not yet as waiting (ImagePullBackOff)."""
    return at + min(3.0, delay / 2)


def _next_look(at: float, delay: float, now: float) -> float:
    shown = fresh_until(at, delay)
    return shown if now < shown else at + delay
