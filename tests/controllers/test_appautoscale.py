"""Apps with an autoscaler of their own, on a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.controllers.appautoscale import AppAutoscalers
from motet.kinds import app, event, horizontalpodautoscaler

KIND = horizontalpodautoscaler.KIND


async def loop(it: World) -> None:
    await AppAutoscalers(it.client, it.clock, it.events).run()


def web(**autoscale: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
    template = {"spec": {"containers": [container]}}
    return {"metadata": {"name": "web"}, "spec": {"template": template, "autoscale": autoscale or None}}


def bounds(it: World) -> tuple[int, int, int]:
    spec = (it.get(KIND, "web") or {}).get("spec") or {}
    metrics = spec.get("metrics") or [{"resource": {"target": {"averageUtilization": 0}}}]
    goal = metrics[0]["resource"]["target"]["averageUtilization"]
    return spec.get("minReplicas", 0), spec.get("maxReplicas", 0), goal


async def test_the_autoscaler_follows_the_app_and_goes_with_the_wish(tmp_path: Path) -> None:
    async with world(tmp_path, loop) as it:
        await it.create(app.KIND, web(minReplicas=2, maxReplicas=5, cpuPercent=60))
        await it.until(lambda: bounds(it) == (2, 5, 60))
        made = it.get(KIND, "web")
        assert made is not None
        assert made["metadata"]["ownerReferences"][0]["kind"] == "App"
        await it.client.patch(app.KIND, "web", {"spec": {"autoscale": {"maxReplicas": 9}}}, "default")
        await it.until(lambda: bounds(it) == (2, 9, 60))
        await it.client.patch(KIND, "web", {"spec": {"maxReplicas": 3}}, "default")
        await it.until(lambda: bounds(it) == (2, 9, 60))
        version = (it.get(KIND, "web") or {})["metadata"]["resourceVersion"]
        await it.client.patch(app.KIND, "web", {"metadata": {"labels": {"a": "b"}}}, "default")
        await it.clock.sleep(0.2)
        assert (it.get(KIND, "web") or {})["metadata"]["resourceVersion"] == version
        await it.client.patch(app.KIND, "web", {"spec": {"autoscale": None}}, "default")
        await it.until(lambda: it.get(KIND, "web") is None)


async def test_somebody_elses_autoscaler_is_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path, loop) as it:
        target = {"apiVersion": "motet.dev/v1", "kind": "App", "name": "web"}
        await it.create(KIND, {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 7}})
        await it.create(app.KIND, web(maxReplicas=3))

        def told() -> bool:
            return any(each["reason"] == "FailedAutoscale" for each in it.all(event.KIND))

        for _ in range(50):
            await it.clock.sleep(0.05)
            await it.events.flush()
            if told():
                break
        assert told()
        assert (it.get(KIND, "web") or {})["spec"]["maxReplicas"] == 7
