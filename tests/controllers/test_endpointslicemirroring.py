"""Hand-written Endpoints on a real kernel: their slices follow them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.controllers.endpointslicemirroring import EndpointSliceMirroring
from motet.kinds import endpoints, endpointslice, service


async def mirroring(world: World) -> None:
    await EndpointSliceMirroring(world.client, world.clock).run()


def written(*addresses: str) -> dict[str, Any]:
    subsets = [{"addresses": [{"ip": each} for each in addresses], "ports": [{"port": 80}]}]
    return {"metadata": {"name": "web"}, "subsets": subsets}


def mirrored(it: World) -> list[list[str]]:
    slices = it.all(endpointslice.KIND)
    return [[endpoint["addresses"][0] for endpoint in each["endpoints"]] for each in slices]


async def test_a_copy_comes_changes_and_goes_with_its_original(tmp_path: Path) -> None:
    async with world(tmp_path, mirroring) as it:
        await it.create(service.KIND, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
        await it.create(endpoints.KIND, written("10.1.2.3"))
        await it.until(lambda: mirrored(it) == [["10.1.2.3"]])
        await it.client.patch(endpoints.KIND, "web", {"subsets": written("10.2.3.4", "10.2.3.5")["subsets"]}, "default")
        await it.until(lambda: mirrored(it) == [["10.2.3.4", "10.2.3.5"]])
        await it.client.delete(endpoints.KIND, "web", "default")
        await it.until(lambda: mirrored(it) == [])


async def test_a_service_that_gets_a_selector_loses_the_copy_and_endpoints_without_a_service_have_none(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, mirroring) as it:
        await it.create(endpoints.KIND, written("10.1.2.3"))
        await it.create(service.KIND, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})
        await it.until(lambda: mirrored(it) == [["10.1.2.3"]])
        await it.client.patch(service.KIND, "web", {"spec": {"selector": {"app": "web"}}}, "default")
        await it.until(lambda: mirrored(it) == [])
        await it.client.patch(service.KIND, "web", {"spec": {"selector": None}}, "default")
        await it.until(lambda: mirrored(it) == [["10.1.2.3"]])
        await it.client.delete(service.KIND, "web", "default")
        await it.until(lambda: mirrored(it) == [])
