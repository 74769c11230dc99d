"""FlowSchemas say whether their level is there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.controllers.world import World, world

from motet.api.flowcontrol import bootstrap
from motet.controllers.flowschemas import FlowSchemas
from motet.kinds import flowschema, prioritylevelconfiguration
from motet.kinds.flowcontrol import SUGGESTED_LEVELS


async def dangling(made: World, wanted: str) -> None:
    for _ in range(500):
        document = (await made.client.get(flowschema.KIND, "system-nodes")).decode()
        found = [each["status"] for each in document.get("status", {}).get("conditions", [])]
        if found == [wanted]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(found)


async def test_a_schema_dangles_while_its_level_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await bootstrap.ensure(made.registry)
        loop = asyncio.create_task(FlowSchemas(made.client, made.clock).run())
        await dangling(made, "False")
        await made.client.delete(prioritylevelconfiguration.KIND, "system")
        await dangling(made, "True")
        await bootstrap.ensure(made.registry)
        await dangling(made, "False")
        loop.cancel()


async def test_what_people_change_stays_if_they_say_so(tmp_path: Path) -> None:
    kind, name = prioritylevelconfiguration.KIND, "global-default"
    async with world(tmp_path) as made:
        await bootstrap.ensure(made.registry)
        for keep, shares in (("true", 20), ("false", 99)):
            document = (await made.client.get(kind, name)).decode()
            document["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"] = keep
            document["spec"]["limited"]["nominalConcurrencyShares"] = 99
            await made.client.update(kind, document)
            await bootstrap.ensure(made.registry)
            found = (await made.client.get(kind, name)).decode()
            assert found["spec"]["limited"]["nominalConcurrencyShares"] == shares
        assert SUGGESTED_LEVELS[name]["limited"]["nominalConcurrencyShares"] == 20
