"""An operator written with kopf, run as a process of its own: it needs nothing that is ours."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.custom.conftest import CRON_TAB, World, definition, tab, version

Json = dict[str, Any]
OPERATOR = Path(__file__).parents[2] / "support" / "tabs_operator.py"
EVENTS = "/api/v1/namespaces/default/events"
FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"


async def test_an_operator_makes_changes_and_clears_up(world: World, tmp_path: Path) -> None:
    status = {**CRON_TAB["properties"]["status"], "x-kubernetes-preserve-unknown-fields": True}
    schema = {**CRON_TAB, "properties": {**CRON_TAB["properties"], "status": status}}
    await world.define(definition(version(schema=schema, subresources={"status": {}})))
    with (tmp_path / "operator.log").open("wb") as log:
        operator = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kopf", "run", "--standalone", "--namespace=default", str(OPERATOR)),
            env={**os.environ, "KUBECONFIG": str(world.api.kubeconfig)},
            stdout=log,
            stderr=log,
        )

    async def until(path: str, condition: Callable[[int, Json], Any]) -> Json:
        async with asyncio.timeout(30):
            while not condition(*(answer := await world.api.ask("GET", path))):
                assert operator.returncode is None, (tmp_path / "operator.log").read_text()
                await asyncio.sleep(0.05)
        return dict(answer[1])

    async def told(reason: str) -> Json:
        found = await until(EVENTS, lambda _, list: any(each["reason"] == reason for each in list["items"]))
        return next(each for each in found["items"] if each["reason"] == reason)

    try:
        await world.create(tab(schedule="daily", replicas=3))
        made = await until(world.path("one"), lambda _, found: found.get("status", {}).get("made"))
        assert made["status"]["made"] == {"schedule": "daily"}
        assert made["status"]["replicas"] == 3
        assert made["metadata"]["finalizers"] == [FINALIZER]
        assert (await told("Made"))["involvedObject"]["uid"] == made["metadata"]["uid"]
        await world.patch(world.path("one"), {"spec": {"schedule": "hourly"}})
        await until(world.path("one"), lambda _, found: found["status"].get("selector") == "daily -> hourly")
        await world.api.ask("DELETE", world.path("one"))
        await until(world.path("one"), lambda code, _: code == 404)
        await told("Gone")
    finally:
        if operator.returncode is None:
            operator.terminate()
        await operator.wait()
