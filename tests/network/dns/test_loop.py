"""Names follow the API: services and slices come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tests.network.dns.messages import question
from tests.network.dns.ports import free_port
from tests.network.dns.test_server import ask
from tests.network.lab import config

from motet.kinds import endpointslice, service
from motet.network.dns.loop import Dns
from motet.network.roster import Roster
from support.fake_client import FakeClient

D = "cluster.local"


@contextlib.asynccontextmanager
async def dns(folder: Path, client: FakeClient) -> AsyncIterator[int]:
    port = free_port()
    settings = replace(config(folder), dns_address=IPv4Address("127.0.0.1"), upstream=("127.0.0.1",))
    running = asyncio.ensure_future(Dns(client, settings, Roster(client, "n1"), port).run())  # type: ignore[arg-type]
    try:
        yield port
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(port: int, name: str, wanted: set[str]) -> None:
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(TimeoutError):  # lost: nobody listened yet
                if (await asyncio.wait_for(ask(port, question(f"{name}.{D}")), 0.2)).data() == wanted:
                    return
            await asyncio.sleep(0.01)


def headless(name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": "None", **spec}}


def a_slice(name: str, *addresses: str, namespace: str = "default") -> dict[str, Any]:
    metadata = {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": [{"addresses": [each]} for each in addresses]}


async def test_names_come_and_go_with_services_and_endpoints(tmp_path: Path) -> None:
    client = FakeClient()
    async with dns(tmp_path, client) as port:
        await client.create(service.KIND, headless("db"), "default")
        await client.create(endpointslice.KIND, a_slice("db", "10.42.0.5"), "default")
        await until(port, "db.default.svc", {"10.42.0.5"})
        await client.update(endpointslice.KIND, a_slice("db", "10.42.0.6", "10.42.0.7"))
        await until(port, "db.default.svc", {"10.42.0.6", "10.42.0.7"})
        await client.delete(endpointslice.KIND, "db-1", "default")
        await client.delete(service.KIND, "db", "default")
        await until(port, "db.default.svc", set())


async def test_one_service_that_makes_no_sense_costs_no_other_its_name(tmp_path: Path) -> None:
    client = FakeClient()
    await client.create(service.KIND, headless("a"), "default")
    await client.create(endpointslice.KIND, a_slice("a", "nonsense"), "default")
    external = {"type": "ExternalName", "externalName": "a..b"}
    await client.create(service.KIND, {"metadata": {"name": "b"}, "spec": external}, "default")
    await client.create(service.KIND, headless("c"), "default")
    await client.create(endpointslice.KIND, a_slice("c", "10.42.0.5"), "default")
    async with dns(tmp_path, client) as port:
        await until(port, "c.default.svc", {"10.42.0.5"})
