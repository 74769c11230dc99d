"""A cluster of dicts: enough to run rollout decisions against, one write at a time."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import msgspec
from tests.controllers import builders
from tests.controllers.builders import NOW, view

from motet.controllers import replicaset, rollout
from motet.controllers.podview import PodView
from motet.controllers.replicaset import ReplicaSetView
from motet.controllers.rollout_status import DeploymentView


class TinyCluster:
    """One deployment, its sets and their pods. Every method is one thing that may happen at any time."""

    def __init__(self, replicas: int = 3, **spec: Any) -> None:
        self.now = NOW
        self._order = itertools.count()
        self.sets: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, list[dict[str, Any]]] = {}
        self.deployment: dict[str, Any] = {
            "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1, "annotations": {}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "c", "image": "v1"}]},
                },
                **spec,
            },
            "status": {},
        }

    def image(self, name: str) -> None:
        self.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = name
        self.deployment["metadata"]["generation"] += 1

    def change(self, **spec: Any) -> None:
        self.deployment["spec"].update(spec)
        self.deployment["metadata"]["generation"] += 1

    def plan(self) -> rollout.Plan:
        return rollout.decide(
            view(DeploymentView, self.deployment),
            [view(ReplicaSetView, each) for each in self.sets.values()],
            self.now,
            unfinished=lambda uid: len(self.pods[uid.removeprefix("rs-")]),
        )

    def decide(self, limit: int = 99) -> int:
        """Carry out the first `limit` writes of the deployment's plan, then (if there is room) the status."""
        plan = self.plan()
        for write in plan.writes[:limit]:
            self._apply(write)
        if limit > len(plan.writes):
            status = msgspec.to_builtins(plan.status)
            changed = status != self.deployment["status"]
            self.deployment["status"] = status
            return len(plan.writes) + changed
        return len(plan.writes)

    def _apply(self, write: rollout.Write) -> None:
        match write:
            case rollout.CreateSet():
                body = msgspec.json.decode(msgspec.json.encode(write.document))
                created = self.now + timedelta(milliseconds=next(self._order))
                body["metadata"].update(uid=f"rs-{write.name}", generation=1, creationTimestamp=created.isoformat())
                self.sets[write.name] = {**body, "status": {}}
                self.pods[write.name] = []
            case rollout.ChangeSet():
                body = self.sets[write.name]
                body["metadata"].setdefault("annotations", {}).update(write.patch["metadata"].get("annotations", {}))
                if "spec" in write.patch:
                    body["spec"].update(write.patch["spec"])
                    body["metadata"]["generation"] += 1
            case rollout.DeleteSet():
                del self.sets[write.name]
            case rollout.Annotate():
                self.deployment["metadata"]["annotations"].update(write.annotations)

    def act(self, name: str, *, report: bool = True) -> bool:
        """The replica set makes or removes its pods and, unless it crashes in between, reports."""
        plan = self._set_plan(name)
        gone = {pod.metadata.uid for pod in plan.delete}
        self.pods[name] = [pod for pod in self.pods[name] if pod["metadata"]["uid"] not in gone]
        owned = builders.owner("ReplicaSet", name, f"rs-{name}")
        labels = self.sets[name]["spec"]["template"]["metadata"]["labels"]
        self.pods[name] += [
            builders.pod(labels=labels, owned=owned, ready=None, age=next(self._order)) for _ in range(plan.create)
        ]
        return self.report(name) if report else plan.acts()

    def report(self, name: str) -> bool:
        """Only the status: news of pods that became ready. Follows acting, as the real loop does."""
        plan = self._set_plan(name)
        if plan.acts():
            return False
        status = msgspec.to_builtins(plan.status)
        changed = status != self.sets[name]["status"]
        self.sets[name]["status"] = status
        return changed

    def _set_plan(self, name: str) -> replicaset.Plan:
        rs = view(ReplicaSetView, self.sets[name])
        return replicaset.decide(
            rs, replicaset.selector_of(rs), [view(PodView, pod) for pod in self.pods[name]], self.now
        )

    def ready(self, name: str, count: int = 99) -> None:
        for pod in self.pods[name]:
            condition = pod["status"]["conditions"][0]
            if condition["status"] != "True" and count > 0:
                condition.update(status="True", lastTransitionTime=self.now.isoformat())
                count -= 1

    def run(self, rounds: int = 80) -> None:
        """Let everybody do their work until nothing changes."""
        for _ in range(rounds):
            changed = self.decide() > 0
            for name in self.sets:
                changed |= self.act(name)
                self.ready(name)
                changed |= self.report(name)
            if not changed:
                return
        raise AssertionError(f"still changing after {rounds} rounds: {self.sizes()}")

    def sizes(self) -> dict[str, int]:
        """Wanted replicas by image."""
        return {self._image(body): body["spec"]["replicas"] for body in self.sets.values()}

    def named(self, image: str) -> str:
        return next(name for name, body in self.sets.items() if self._image(body) == image)

    def _image(self, body: dict[str, Any]) -> str:
        return str(body["spec"]["template"]["spec"]["containers"][0]["image"])

    def total(self) -> int:
        return sum(len(pods) for pods in self.pods.values())

    def available(self) -> int:
        return sum(pod["status"]["conditions"][0]["status"] == "True" for pods in self.pods.values() for pod in pods)

    def condition(self, type: str) -> dict[str, Any]:
        return next(each for each in self.deployment["status"]["conditions"] if each["type"] == type)
