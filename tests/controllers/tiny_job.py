"""One Job and its pods as dicts: enough to run its decisions against, one write at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.base import timestamps
from motet.controllers import jobs
from motet.controllers.job import pod_of, status_document
from motet.controllers.jobs import NewPod, Plan, Scene
from motet.controllers.jobview import FINALIZER, JobPod, JobStatus, JobView


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    if "parallelism" not in spec and "completions" not in spec:
        spec = {"completions": 1, **spec}
    return {
        "metadata": {"name": "work", "namespace": "default", "uid": "job-work", "generation": 1},
        "spec": {"parallelism": 1, "template": template, "backoffLimit": 6, **spec},
        "status": {},
    }


class TinyJob:
    """Every method is one thing that may happen at any time."""

    def __init__(self, **spec: Any) -> None:
        self.body = job(**spec)
        self.pods: dict[str, dict[str, Any]] = {}
        self.now: datetime = NOW
        self.failures: dict[str, datetime] = {}
        self.told: list[str] = []
        self.ends: dict[str, str] = {}  # uid -> how it ended, for pods that are counted

    @property
    def status(self) -> JobStatus:
        return msgspec.convert(self.body["status"], JobStatus)

    def plan(self) -> Plan:
        pods = [view(JobPod, pod) for pod in self.pods.values()]
        return jobs.decide(Scene(view(JobView, self.body), pods, self.now, self.failures))

    def decide(self, limit: int = 999) -> bool:
        """Carry out the first `limit` writes of a plan; whether it had any."""
        plan = self.plan()
        changed = plan.status != self.status
        writes: list[tuple[str, Any]] = [("status", plan)] if changed else []
        writes += [("release", pod) for pod in (*plan.release, *plan.withdraw)]
        writes += [("delete", pod) for pod in (*plan.delete, *plan.withdraw)]
        writes += [("create", new) for new in plan.create]
        for what, subject in writes[:limit]:
            self._write(what, subject)
        return bool(writes)

    def _write(self, what: str, subject: Any) -> None:
        match what:
            case "status":
                self.body["status"] = status_document(subject.status)
                self.failures = dict(subject.failures or {})
                self.told += [told.reason for told in subject.events]
            case "release":
                self._release(self.pods[subject.metadata.uid])
            case "delete":
                pod = self.pods.get(subject.metadata.uid)
                if pod is not None:
                    pod["metadata"]["deletionTimestamp"] = timestamps.format_time(self.now)
                    self._reap(pod)
            case "create":
                self._create(subject)

    def _create(self, new: NewPod) -> None:
        made = pod_of(builders.document("batch/jobs", self.body), new)
        uid = builders.uid()
        stamp = timestamps.format_time(self.now)
        made["metadata"].update(uid=uid, creationTimestamp=stamp)
        made["spec"]["nodeName"] = "n1"
        made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.pods[uid] = made

    def _release(self, pod: dict[str, Any]) -> None:
        pod["metadata"]["finalizers"] = [each for each in pod["metadata"]["finalizers"] if each != FINALIZER]
        self._reap(pod)

    def _reap(self, pod: dict[str, Any]) -> None:
        """Deleted, ended and held by nobody."""
        meta = pod["metadata"]
        ended = pod["status"]["phase"] in ("Succeeded", "Failed")
        if ended and meta.get("deletionTimestamp") and not meta["finalizers"]:
            self.pods.pop(meta["uid"], None)

    def running(self) -> list[dict[str, Any]]:
        return [pod for pod in self.pods.values() if pod["status"]["phase"] == "Running"]

    def active(self) -> list[dict[str, Any]]:
        return [pod for pod in self.running() if "deletionTimestamp" not in pod["metadata"]]

    def end(self, number: int, phase: str = "Succeeded", code: int = 1) -> None:
        """One of the running pods ends, if there are so many."""
        running = self.running()
        if not running:
            return
        pod = running[number % len(running)]
        state = {
            "exitCode": 0 if phase == "Succeeded" else code,
            "finishedAt": timestamps.format_time(self.now),
        }
        pod["status"] = {"phase": phase, "containerStatuses": [{"name": "c", "state": {"terminated": state}}]}
        if FINALIZER in pod["metadata"]["finalizers"]:
            self.ends[pod["metadata"]["uid"]] = phase
        self._reap(pod)

    def delete(self, number: int) -> None:
        """Somebody deletes a running pod."""
        if active := self.active():
            active[number % len(active)]["metadata"]["deletionTimestamp"] = timestamps.format_time(self.now)

    def settle(self) -> None:
        """Decide until there is nothing to do now; pods that are being deleted end meanwhile."""
        for _ in range(50):
            for pod in self.running():
                if "deletionTimestamp" in pod["metadata"]:
                    pod["status"] = {"phase": "Failed"}
                    self._reap(pod)
            if not self.decide():
                return
        raise AssertionError(f"never rests: {self.plan()}")

    def pass_time(self, seconds: float = 700) -> None:
        self.now += timedelta(seconds=seconds)

    def run(self, phase: str = "Succeeded", rounds: int = 60) -> None:
        """Let every pod end like this until the job has."""
        for _ in range(rounds):
            self.settle()
            if self.finished():
                return
            for _ in self.running():
                self.end(0, phase)
            self.pass_time()
        raise AssertionError(f"never ends: {self.status}")

    def finished(self) -> str:
        return next((each.type for each in self.status.conditions if each.type in ("Complete", "Failed")), "")

    def reason(self) -> str:
        return next((each.reason for each in self.status.conditions if each.type == self.finished()), "")
