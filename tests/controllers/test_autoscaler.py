"""HorizontalPodAutoscalers on a real kernel, with metrics made up and a clock that moves when it is told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.controllers.world import World, kubelet, world

from motet.base import timestamps
from motet.base.clock import FakeClock
from motet.base.selectors import Selector
from motet.controllers.app import Apps
from motet.controllers.autoscaler import Autoscalers
from motet.controllers.replicaset import ReplicaSets
from motet.kinds import app, event, horizontalpodautoscaler, pod, replicaset

KIND = horizontalpodautoscaler.KIND


class Meter:
    """What every pod uses, in millicores."""

    def __init__(self) -> None:
        self.millicores = 100
        self.it: World

    async def pods(self, namespace: str, selector: Selector) -> Sequence[Mapping[str, Any]]:
        stamp = timestamps.format_time(self.it.clock.now())
        usage = {"name": "c", "usage": {"cpu": f"{self.millicores}m"}}
        return [
            {"metadata": each["metadata"], "timestamp": stamp, "window": "15.000s", "containers": [usage]}
            for each in self.it.all(pod.KIND)
        ]

    async def autoscalers(self, it: World) -> None:
        self.it = it
        await Autoscalers(it.client, it.clock, it.events, it.registry.catalogue, self.pods).run()


async def replicasets(it: World) -> None:
    await ReplicaSets(it.client, it.clock, it.events).run()


def web(replicas: int = 2) -> dict[str, Any]:
    labels = {"app": "web"}
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "web"}, "spec": spec}


def autoscaler(name: str = "web", kind: str = "ReplicaSet") -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    metrics = [{"type": "Resource", "resource": resource}]
    return {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 8, "metrics": metrics}}


def status(it: World) -> dict[str, Any]:
    return (it.get(KIND, "web") or {}).get("status") or {}


def replicas(it: World) -> int:
    return int((it.get(replicaset.KIND, "web") or {})["spec"]["replicas"])


async def test_a_busy_set_grows_and_a_quiet_one_shrinks_when_it_has_been_quiet_for_a_while(tmp_path: Path) -> None:
    meter, clock = Meter(), FakeClock()
    async with world(tmp_path, meter.autoscalers, replicasets, kubelet, clock=clock) as it:
        await it.create(replicaset.KIND, web(2))
        await clock.advance(1)
        await it.until(lambda: (it.get(replicaset.KIND, "web") or {})["status"].get("replicas") == 2)
        for each in it.all(pod.KIND):  # they have been running for a while
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2025-12-31T23:00:00Z"}
            about = {"phase": "Running", "startTime": "2025-12-31T22:00:00Z", "conditions": [ready]}
            await it.status(pod.KIND, each["metadata"]["name"], about)
        await it.create(KIND, autoscaler())
        await it.until(lambda: replicas(it) == 4)
        await it.until(lambda: status(it).get("desiredReplicas") == 4)
        assert status(it)["currentMetrics"][0]["resource"]["current"] == {
            "averageValue": "100m",
            "averageUtilization": 100,
        }
        meter.millicores = 10
        await clock.advance(330)
        await it.until(lambda: replicas(it) == 1)
        await it.events.flush()
        assert "SuccessfulRescale" in {each["reason"] for each in it.all(event.KIND)}


async def apps(it: World) -> None:
    await Apps(it.client, it.clock, it.events).run()


async def test_an_app_is_scaled_like_any_other_workload_and_its_history_does_not_count(tmp_path: Path) -> None:
    meter, clock = Meter(), FakeClock()
    async with world(tmp_path, meter.autoscalers, apps, kubelet, clock=clock) as it:
        template = web()["spec"]["template"]
        mode = {"replicated": {"replicas": 2}}
        await it.create(app.KIND, {"metadata": {"name": "web"}, "spec": {"mode": mode, "template": template}})
        await clock.advance(1)
        await it.until(lambda: len(it.all(pod.KIND)) == 2)
        ended = {"metadata": {"name": "ended", "labels": {"motet.dev/app": "web"}}, "spec": template["spec"]}
        await it.create(pod.KIND, ended)
        await it.status(pod.KIND, "ended", {"phase": "Succeeded"})
        await it.until(lambda: all(each["status"].get("phase") != "Pending" for each in it.all(pod.KIND)))
        for each in it.all(pod.KIND):
            if each["metadata"]["name"] != "ended":
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2025-12-31T23:00:00Z"}
                about = {"phase": "Running", "startTime": "2025-12-31T22:00:00Z", "conditions": [ready]}
                await it.status(pod.KIND, each["metadata"]["name"], about)
        body = autoscaler()
        body["spec"]["scaleTargetRef"] = {"apiVersion": "motet.dev/v1", "kind": "App", "name": "web"}
        await it.create(KIND, body)

        def wanted() -> int:
            return int((it.get(app.KIND, "web") or {})["spec"]["mode"]["replicated"]["replicas"])

        await it.until(lambda: wanted() == 4)
        meter.millicores = 10
        await clock.advance(330)
        await it.until(lambda: wanted() == 1)
        await it.until(lambda: (it.get(app.KIND, "web") or {})["status"]["desiredReplicas"] == 1)


async def test_a_target_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    meter = Meter()
    async with world(tmp_path, meter.autoscalers) as it:
        await it.create(KIND, autoscaler("nobody"))
        (condition,) = await it.until(lambda: status(it).get("conditions"))
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "AbleToScale",
            "False",
            "FailedGetScale",
        )


async def test_a_kind_that_cannot_be_scaled_is_refused_in_words(tmp_path: Path) -> None:
    meter = Meter()
    async with world(tmp_path, meter.autoscalers) as it:
        await it.create(KIND, autoscaler(kind="Nonsense"))
        (condition,) = await it.until(lambda: status(it).get("conditions"))
        assert 'no matches for kind "Nonsense" in group "apps"' in condition["message"]


async def test_a_metric_of_pods_that_nobody_serves_is_said_to_be_missing(tmp_path: Path) -> None:
    meter = Meter()
    async with world(tmp_path, meter.autoscalers) as it:
        await it.create(replicaset.KIND, web(2))
        body = autoscaler()
        hits = {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "10"}}
        body["spec"]["metrics"] = [{"type": "Pods", "pods": hits}]
        await it.create(KIND, body)
        active = await it.until(lambda: condition(it, "web", "ScalingActive"))
        assert (active["status"], active["reason"]) == ("False", "FailedGetPodsMetric")
        assert "unable to get metric hits: no API custom.metrics.k8s.io/v1beta2 registered" in active["message"]


async def test_a_queue_outside_sets_the_size(tmp_path: Path) -> None:
    async def ask(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        return {"items": [{"timestamp": "2026-01-01T00:00:00Z", "value": "50"}]}

    async def loop(it: World) -> None:
        await Autoscalers(it.client, it.clock, it.events, it.registry.catalogue, ask=ask).run()

    async with world(tmp_path, loop) as it:
        await it.create(replicaset.KIND, web(2))
        body = autoscaler()
        queue = {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}
        body["spec"]["metrics"] = [{"type": "External", "external": queue}]
        await it.create(KIND, body)
        await it.until(lambda: replicas(it) == 5)
        shown = await it.until(lambda: status(it).get("currentMetrics"))
        assert shown == [
            {"type": "External", "external": {"metric": {"name": "queue"}, "current": {"averageValue": "25"}}}
        ]


async def test_two_autoscalers_over_the_same_pods_scale_nothing(tmp_path: Path) -> None:
    meter, clock = Meter(), FakeClock()
    async with world(tmp_path, meter.autoscalers, replicasets, clock=clock) as it:
        await it.create(replicaset.KIND, web(2))
        await it.until(lambda: len(it.all(pod.KIND)) == 2)
        await it.create(KIND, autoscaler())
        await it.until(lambda: condition(it, "web", "AbleToScale"))
        second = autoscaler()
        second["metadata"]["name"] = "other"
        await it.create(KIND, second)
        active = await it.until(lambda: condition(it, "other", "ScalingActive"))
        assert (active["status"], active["reason"]) == ("False", "AmbiguousSelector")
        assert (
            active["message"] == "pods by selector app=web are controlled by multiple HPAs: [default/other default/web]"
        )
        assert replicas(it) == 2


def condition(it: World, name: str, type: str) -> dict[str, Any] | None:
    conditions = ((it.get(KIND, name) or {}).get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == type), None)
