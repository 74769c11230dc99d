"""What `kubectl get pods` says of a pod: STATUS, READY and RESTARTS in one pass (upstream: the pod printer); and what a
pod is told when it is taken away.

The word in STATUS is not the phase: the first init container that is not done, then the last container that waits or has
ended, then deletion, override it in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from motet.base import timestamps
from motet.kinds.ages import since
from motet.kinds.kind import Json
from motet.kinds.podspec.containers import is_sidecar
from motet.kinds.shape import mapping, number, objects, text


@dataclass(frozen=True, slots=True)
class Summary:
    """`last_restart` is the RFC 3339 instant the latest restarted container had ended, or empty."""

    status: str
    ready: int
    total: int
    restarts: int
    last_restart: str

    def restarts_text(self, now: datetime) -> str:
        """`3 (5m ago)`."""
        if self.restarts and self.last_restart:
            return f"{self.restarts} ({since(self.last_restart, now)} ago)"
        return str(self.restarts)


def summarize(pod: Json) -> Summary:
    """The words and numbers of one pod."""
    status = mapping(pod, "status")
    sidecars = {text(item, "name") for item in objects(pod, "spec", "initContainers") if is_sidecar(item)}
    initializing, word, ready = _initialization(pod, sidecars)
    inits = objects(status, "initContainerStatuses")
    counted = _until_unfinished(inits, sidecars)
    if not initializing or _condition(status, "Initialized"):
        counted = [item for item in counted if text(item, "name") in sidecars]
        containers = objects(status, "containerStatuses")
        counted = [*counted, *containers]
        word, running = _containers(containers, word)
        ready += running
        if word == "Completed" and running:
            word = "Running" if _condition(status, "Ready") else "NotReady"
    return Summary(
        status=_deletion(pod, word),
        ready=ready,
        total=len(objects(pod, "spec", "containers")) + len(sidecars),
        restarts=sum(number(item, "restartCount") for item in counted),
        last_restart=max((text(item, "lastState", "terminated", "finishedAt") for item in counted), default=""),
    )


def _initialization(pod: Json, sidecars: set[str]) -> tuple[bool, str, int]:
    """Whether the pod is still initializing, the word so far, and how many sidecars are ready."""
    status = mapping(pod, "status")
    word = text(status, "reason") or text(status, "phase")
    for condition in objects(status, "conditions"):
        if text(condition, "type") == "PodScheduled" and text(condition, "reason") == "SchedulingGated":
            word = "SchedulingGated"
    ready = 0
    for index, item in enumerate(objects(status, "initContainerStatuses")):
        if _has_succeeded(item):
            continue
        if _is_running_sidecar(item, sidecars):
            ready += item.get("ready") is True
            continue
        terminated = mapping(item, "state").get("terminated")
        waiting = text(item, "state", "waiting", "reason")
        if isinstance(terminated, dict):
            return True, f"Init:{_ending(terminated)}", ready
        if waiting and waiting != "PodInitializing":
            return True, f"Init:{waiting}", ready
        return True, f"Init:{index}/{len(objects(pod, 'spec', 'initContainers'))}", ready
    return False, word, ready


def _until_unfinished(inits: list[Json], sidecars: set[str]) -> list[Json]:
    """Those init containers up to and including the first that is not done; the rest has not been looked at."""
    looked_at = []
    for item in inits:
        looked_at.append(item)
        if not _has_succeeded(item) and not _is_running_sidecar(item, sidecars):
            break
    return looked_at


def _has_succeeded(item: Json) -> bool:
    terminated = mapping(item, "state").get("terminated")
    return isinstance(terminated, dict) and number(terminated, "exitCode") == 0


def _is_running_sidecar(item: Json, sidecars: set[str]) -> bool:
    return text(item, "name") in sidecars and item.get("started") is True


def _containers(containers: list[Json], word: str) -> tuple[str, int]:
    """The word after the ordinary containers (the first one listed wins), and how many run and are ready."""
    running = 0
    for item in reversed(containers):
        state = mapping(item, "state")
        if reason := text(state, "waiting", "reason"):
            word = reason
        elif isinstance(state.get("terminated"), dict):
            word = _ending(state["terminated"])
        elif item.get("ready") is True and isinstance(state.get("running"), dict):
            running += 1
    return word, running


def _ending(terminated: Json) -> str:
    if reason := text(terminated, "reason"):
        return reason
    signal = number(terminated, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{number(terminated, 'exitCode')}"


def _deletion(pod: Json, word: str) -> str:
    if not text(pod, "metadata", "deletionTimestamp"):
        return word
    if text(pod, "status", "reason") == "NodeLost":
        return "Unknown"
    return word if text(pod, "status", "phase") in ("Succeeded", "Failed") else "Terminating"


def _condition(status: Json, kind: str) -> bool:
    return any(
        text(condition, "type") == kind and text(condition, "status") == "True"
        for condition in objects(status, "conditions")
    )


def mark_disrupted(pod: Json, reason: str, message: str, now: datetime) -> None:
    """Set the condition that tells a pod's owner that the pod did not fail but was taken away (`DisruptionTarget`,
    KEP-3329)."""
    status = pod.setdefault("status", {})
    kept = [each for each in status.get("conditions") or () if each["type"] != "DisruptionTarget"]
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    status["conditions"] = [*kept, {**condition, "lastTransitionTime": timestamps.format_time(now)}]
