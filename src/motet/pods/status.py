"""PodStatus, computed: what the API should hear of a pod, from what is observed and remembered (kubelet's generateAPIPodStatus).

The result is a plain document in upstream's words. It is a function of its inputs only; `publish` compares it with what
was said last and writes the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from motet.base.timestamps import format_time
from motet.pods import backoff, resizing, resources
from motet.pods.decide import completed, ending, fresh_until, outdated, restarts
from motet.pods.model import RESIZE, SANDBOX, VOLUMES, Failure, Final, Health, Observed, Records, seconds
from motet.pods.spec import ContainerSpec, Pod
from motet.runtime.interface import Container, ContainerState, Sandbox

Json = dict[str, Any]

# Conditions this module writes; any other on the pod belongs to somebody else.
OWN_CONDITIONS = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", "PodResizePending",
    "PodResizeInProgress",
)  # fmt: skip
# What a failure is called once it is being waited out.
_WAITING_AS = {"ErrImagePull": "ImagePullBackOff"}


@dataclass(frozen=True, slots=True)
class Host:
    """Where the pod is: the node's own addresses."""

    ips: tuple[str, ...]


def compute(pod: Pod, observed: Observed, records: Records, now: float, host: Host) -> Json:
    """The status of `pod` at `now`."""
    final = None if records.unsupported else records.rejected or records.evicted or ending(pod, observed, now)
    statuses = [_container_status(pod, spec, observed, records, now) for spec in pod.everything]
    inits, mains = statuses[: len(pod.inits)], statuses[len(pod.inits) :]
    phase = _phase(pod, observed, final)
    status: Json = {
        "phase": phase,
        "hostIP": host.ips[0] if host.ips else "",
        "hostIPs": [{"ip": ip} for ip in host.ips],
        "startTime": pod.status.start_time or format_time(_at(now)),
        "qosClass": resources.qos_class(pod),
        "containerStatuses": mains if records.rejected is None else [],
        **_addresses(pod, observed.sandbox, host),
    }
    if inits and records.rejected is None:
        status["initContainerStatuses"] = inits
    if pod.ephemerals:
        status["ephemeralContainerStatuses"] = [
            _container_status(pod, spec, observed, records, now) for spec in pod.ephemerals
        ]
    if records.unsupported:
        status.update(reason="UnsupportedField", message=records.unsupported)
    elif final is not None:
        status.update({key: text for key, text in (("reason", final.reason), ("message", final.message)) if text})
    status["conditions"] = _conditions(pod, observed, records, phase, mains, now)
    if pod.metadata.generation:
        for told in (status, *status["conditions"]):
            told["observedGeneration"] = pod.metadata.generation
    return status


def _at(instant: float) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def _time(nanoseconds: int) -> str | None:
    return format_time(_at(seconds(nanoseconds))) if nanoseconds > 0 else None


def _addresses(pod: Pod, sandbox: Sandbox | None, host: Host) -> Json:
    ips: Sequence[str] = ()
    if pod.spec.host_network:
        ips = host.ips if sandbox is not None else ()
    elif sandbox is not None:
        ips = sandbox.ips
    return {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]} if ips else {}


# --- phase ------------------------------------------------------------------------------------------------------------


def _phase(pod: Pod, observed: Observed, final: Final | None) -> str:
    if final is not None and not any(c.state is ContainerState.RUNNING for c in observed.containers):
        return final.phase
    latest = [observed.latest(spec.name) for spec in pod.spec.containers]
    if not all(latest) or not _initialized(pod, observed):
        return "Pending"
    begun = [container for container in latest if container is not None]
    if any(container.state is ContainerState.CREATED and container.attempt == 0 for container in begun):
        return "Pending"
    return "Running"


def _initialized(pod: Pod, observed: Observed) -> bool:
    """Whether every init container is done; an ordinary one that was made proves it."""
    sandbox = observed.sandbox
    if any(observed.latest(spec.name) for spec in pod.spec.containers):
        return True
    for init in pod.inits:
        latest = observed.latest(init.name)
        if latest is None or (sandbox is not None and latest.sandbox_id != sandbox.id):
            return False
        if init.sidecar and latest.state is not ContainerState.RUNNING:
            return False
        if not init.sidecar and not completed(latest):
            return False
    return True


# --- containers -------------------------------------------------------------------------------------------------------


def _container_status(pod: Pod, spec: ContainerSpec, observed: Observed, records: Records, now: float) -> Json:
    attempts = observed.attempts(spec.name)
    if len(attempts) > 1 and attempts[0].state is ContainerState.CREATED:
        # It has been started again when it runs, and not when what will run has been made.
        attempts = attempts[1:]
    latest = attempts[0] if attempts else None
    state, last = _states(pod, spec, attempts, observed, records, now)
    health = records.health.get(latest.id, Health()) if latest is not None else Health()
    running = "running" in state
    status: Json = {
        "name": spec.name,
        "state": state,
        "lastState": {"terminated": last} if last else {},
        "ready": _is_ready(pod, spec, latest, health),
        "restartCount": latest.attempt if latest is not None else _reported_restarts(pod, spec),
        "image": (latest.image if latest is not None else "") or spec.image,
        "imageID": latest.image_ref if latest is not None else "",
        "started": running and (health.started if spec.startup_probe is not None else True),
    }
    if latest is not None:
        status["containerID"] = container_id(latest)
        status.update(_resources(pod, spec, records))
    return status


def _resources(pod: Pod, spec: ContainerSpec, records: Records) -> Json:
    """What the container was granted, and what it has."""
    applied = records.applied.get(spec.name)
    if applied is None:
        return {}
    has = {"requests": applied.requests, "limits": applied.limits}
    found: Json = {"resources": {name: dict(amounts) for name, amounts in has.items() if amounts}}
    if spec.resources.requests:
        found["allocatedResources"] = dict(spec.resources.requests)
    return {name: value for name, value in found.items() if value}


def _is_ready(pod: Pod, spec: ContainerSpec, latest: Container | None, health: Health) -> bool:
    if spec in pod.ephemerals:
        return False
    if spec in pod.inits and not spec.sidecar:
        return completed(latest)
    return latest is not None and latest.state is ContainerState.RUNNING and health.ready


def container_id(container: Container) -> str:
    """The API's form: the runtime's name and the runtime's id."""
    return f"containerd://{container.id}"


def _reported_restarts(pod: Pod, spec: ContainerSpec) -> int:
    reported = pod.reported(spec.name)
    return 0 if reported is None else reported.restart_count


def _states(
    pod: Pod, spec: ContainerSpec, attempts: list[Container], observed: Observed, records: Records, now: float
) -> tuple[Json, Json | None]:
    """(state, the last termination or None)."""
    latest = attempts[0] if attempts else None
    before = next((old for old in attempts[1:] if old.state is ContainerState.EXITED), None)
    last = _terminated(before, records) if before is not None else None
    if latest is None:
        return {"waiting": _waiting(pod, spec, observed, records, now)}, None
    if latest.state is ContainerState.RUNNING:
        started = _time(latest.started_at)
        return {"running": {"startedAt": started} if started else {}}, last
    if latest.state is ContainerState.EXITED:
        waiting = _waiting_to_restart(pod, spec, latest, records, now)
        if waiting is None:
            return {"terminated": _terminated(latest, records)}, last
        return {"waiting": waiting}, _terminated(latest, records)
    return {"waiting": _waiting(pod, spec, observed, records, now)}, last


def _terminated(container: Container, records: Records) -> Json:
    state: Json = {"exitCode": container.exit_code, "reason": _end_reason(container)}
    message = records.messages.get(container.id) or (container.message if container.exit_code else "")
    if message:
        state["message"] = message
    times = {"startedAt": _time(container.started_at), "finishedAt": _time(container.finished_at)}
    state.update({name: text for name, text in times.items() if text})
    state["containerID"] = container_id(container)
    return state


def _end_reason(container: Container) -> str:
    """The runtime calls a container OOMKilled when any process in it was, even if it then ended well."""
    if container.exit_code == 0:
        return "Completed"
    return container.reason if container.reason not in ("", "Completed", "Unknown") else "Error"


def _waiting_to_restart(pod: Pod, spec: ContainerSpec, dead: Container, records: Records, now: float) -> Json | None:
    """Why the exited container has not been replaced yet, if it is going to be."""
    is_init = spec in pod.inits
    if spec in pod.ephemerals:
        return None
    if is_init and not spec.sidecar and dead.exit_code == 0:
        return None
    if not spec.sidecar and not restarts(pod, spec, dead.exit_code) and not outdated(spec, dead):
        return None
    if pod.metadata.deletion_timestamp is not None:
        return None
    failure = records.failures.get(spec.name)
    if failure is not None:
        return _failed(failure, now)
    if now < backoff.restart_at(dead):
        held = backoff.held_back(dead)
        shown = f"{held // 60}m{held % 60}s" if held >= 60 else f"{held}s"
        return {
            "reason": "CrashLoopBackOff",
            "message": f"back-off {shown} restarting failed container={spec.name} pod={pod.address}",
        }
    return None


def _waiting(pod: Pod, spec: ContainerSpec, observed: Observed, records: Records, now: float) -> Json:
    failure = records.failures.get(spec.name)
    if failure is not None:
        return _failed(failure, now)
    if pod.inits and spec in pod.spec.containers and not _initialized(pod, observed):
        return {"reason": "PodInitializing"}
    if pod.inits and spec in pod.inits:
        return {"reason": "PodInitializing"}
    waiting = {"reason": "ContainerCreating"}
    blocked = records.failures.get(VOLUMES) or records.failures.get(SANDBOX)
    if blocked is not None:
        waiting["message"] = blocked.message
    return waiting


def _failed(failure: Failure, now: float) -> Json:
    reason = failure.reason
    if now >= fresh_until(failure.at, failure.delay):
        reason = _WAITING_AS.get(reason, reason)
    return {"reason": reason, "message": failure.message}


# --- conditions -------------------------------------------------------------------------------------------------------


def _conditions(
    pod: Pod, observed: Observed, records: Records, phase: str, mains: Sequence[Json], now: float
) -> list[Json]:
    sandbox = observed.sandbox
    has_network = sandbox is not None and sandbox.ready and (pod.spec.host_network or bool(sandbox.ips))
    succeeded = phase == "Succeeded"
    initialized = succeeded or _initialized(pod, observed)
    pending_inits = (
        [] if initialized else [init.name for init in pod.inits if not completed(observed.latest(init.name))]
    )
    unready = [status["name"] for status in mains if not status["ready"]]
    ready = _readiness(phase, unready)
    gates = _failing_gates(pod)
    ours = [
        _condition("PodReadyToStartContainers", has_network),
        _condition(
            "Initialized",
            initialized,
            "PodCompleted" if succeeded else "ContainersNotInitialized",
            _listed("containers with incomplete status", pending_inits),
        ),
        _condition("Ready", ready[0] and not gates, ready[1] or "ReadinessGatesNotReady", ready[2] or "; ".join(gates)),
        _condition("ContainersReady", *ready),
        _condition("PodScheduled", True),
        *_resizing(pod, observed, records),
        *_disruption(records),
    ]
    known = {condition.type: condition for condition in pod.status.conditions or ()}
    stamp = format_time(_at(now))
    for condition in ours:
        old = known.get(condition["type"])
        same = old is not None and old.status == condition["status"] and old.last_transition_time
        condition["lastTransitionTime"] = old.last_transition_time if same and old is not None else stamp
    return ours


def _resizing(pod: Pod, observed: Observed, records: Records) -> Iterator[Json]:
    """Conditions that are there only while a pod waits for other resources than it has, or is being given them."""
    if records.pending is not None:
        condition = _condition("PodResizePending", True)
        yield {**condition, "reason": records.pending.reason, "message": records.pending.message}
    if any(resizing.changes(pod, observed, records.has)):
        condition = _condition("PodResizeInProgress", True)
        failure = records.failures.get(RESIZE)
        yield condition if failure is None else {**condition, "reason": "Error", "message": failure.message}


def _disruption(records: Records) -> Iterator[Json]:
    if records.evicted is not None:
        condition = _condition("DisruptionTarget", True)
        yield {**condition, "reason": "TerminationByKubelet", "message": records.evicted.message}


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Json:
    condition: Json = {"type": kind, "status": "True" if holds else "False", "lastProbeTime": None}
    if reason and (not holds or reason == "PodCompleted"):
        condition["reason"] = reason
        if message:
            condition["message"] = message
    return condition


def _readiness(phase: str, unready: Sequence[str]) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    if unready:
        return False, "ContainersNotReady", _listed("containers with unready status", unready)
    return True, "", ""


def _listed(what: str, names: Iterable[str]) -> str:
    return f"{what}: [{' '.join(names)}]"


def _failing_gates(pod: Pod) -> list[str]:
    known = {condition.type: condition.status for condition in pod.status.conditions or ()}
    failing = []
    for gate in pod.spec.readiness_gates or ():
        if gate.condition_type not in known:
            failing.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif known[gate.condition_type] != "True":
            failing.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {known[gate.condition_type]}'
            )
    return failing
