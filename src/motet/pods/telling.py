"""The events a pod's worker tells: a step that failed, a spell of waiting. Each is told once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from motet.pods.execute import Tools
from motet.pods.model import (
    CreateContainer,
    CreateSandbox,
    EnsureImage,
    Failure,
    Pending,
    Prepare,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainers,
)
from motet.pods.spec import Pod

_log = logging.getLogger("motet.pods")


class Telling:
    """What has been told of one pod."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._said: set[tuple[str, str]] = set()

    def failed(self, pod: Pod, step: Step, failure: Failure) -> None:
        """A step did not work."""
        say = self._tools.say
        match step:
            case Prepare():
                say(pod, "Warning", failure.reason, failure.message)
            case CreateSandbox():
                message = f"Failed to create pod sandbox: {failure.message}"
                say(pod, "Warning", "FailedCreatePodSandBox", message)
            case CreateContainer(container=name) | StartContainer(container=name):
                say(pod, "Warning", "Failed", f"Error: {failure.message}", pod.container(name))
            case ResizeContainer(container=name):
                say(pod, "Warning", "ResizeError", failure.message, pod.container(name))
            case EnsureImage():
                # `images` has told more than could be said here.
                return
            case StopContainers():
                say(pod, "Warning", "FailedKillPod", f"error killing pod: {failure.message}")
            case _:
                _log.warning("pod %s: %s failed: %s", pod.address, step, failure.message)

    def waiting(self, pod: Pod, status: Mapping[str, Any], failures: Mapping[str, Failure]) -> None:
        """Tell once about every spell of waiting that the status of a container shows."""
        reason = status["state"].get("waiting", {}).get("reason", "")
        spec = pod.container(status["name"])
        if spec is None or reason not in ("CrashLoopBackOff", "ImagePullBackOff"):
            return
        failure = failures.get(spec.name)
        if not self._first(spec.name, f"{reason} {status.get('containerID', '')} {failure.at if failure else ''}"):
            return
        if reason == "CrashLoopBackOff":
            message = f"Back-off restarting failed container {spec.name} in pod {pod.address}"
            self._tools.say(pod, "Warning", "BackOff", message, spec)
        else:
            self._tools.say(pod, "Normal", "BackOff", f'Back-off pulling image "{spec.image}"', spec)
            self._tools.say(pod, "Warning", "Failed", "Error: ImagePullBackOff", spec)

    def not_resized(self, pod: Pod, pending: Pending | None) -> None:
        """A wish that the node does not grant (now)."""
        if pending is not None and self._first("/resize", f"{pod.metadata.generation} {pending.reason}"):
            self._tools.say(pod, "Warning", f"Resize{pending.reason}", pending.message)

    def _first(self, subject: str, spell: str) -> bool:
        if (subject, spell) in self._said:
            return False
        self._said.add((subject, spell))
        return True
