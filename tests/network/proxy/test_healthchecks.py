"""What a balancer outside is told of a node."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest
from tests.network.lab import until

from motet.kinds import service
from motet.network.proxy.healthchecks import Check, HealthChecks, of_service
from motet.network.proxy.views import ServiceView, SliceView
from motet.store.document import Key

KEY = Key(service.KIND.resource, "default", "web")
LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30999}


def check(*endpoints: dict[str, Any], **changes: Any) -> Check | None:
    view = msgspec.convert({"spec": {**LOCAL, **changes}}, ServiceView)
    return of_service(KEY, view, [msgspec.convert({"endpoints": list(endpoints)}, SliceView)], "n1")


def endpoint(address: str, node: str = "n1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def test_only_ready_endpoints_of_this_node_count() -> None:
    leaving = endpoint("10.42.0.4", ready=False, serving=True, terminating=True)
    found = check(endpoint("10.42.0.2", ready=True), endpoint("10.42.0.3"), endpoint("10.42.1.2", "n2"), leaving)
    assert found == Check(30999, "default", "web", 2)


@pytest.mark.parametrize(
    "changes", [{"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}, {"healthCheckNodePort": 0}]
)
def test_other_services_have_no_check(changes: dict[str, Any]) -> None:
    assert check(endpoint("10.42.0.2"), **changes) is None


async def test_a_port_that_somebody_has_is_told_once_and_taken_when_it_is_free() -> None:
    told: list[str] = []
    checks = HealthChecks(lambda key, message: told.append(f"{key.name}: {message}"), retry_seconds=0.02)
    with socket.create_server(("0.0.0.0", 0)) as holder:
        port = holder.getsockname()[1]
        checks.want(KEY, Check(port, "default", "web", 1))
        running = asyncio.create_task(checks.run())
        await until(lambda: told)
    await until(lambda: socket.create_connection(("127.0.0.1", port)).close() or True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told == [f"web: Health check port {port} cannot be opened: Address already in use"]


async def test_of_a_node_of_both_families_it_is_asked_by_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    checks = HealthChecks(lambda key, message: None, both=True, retry_seconds=0.02)
    checks.want(KEY, Check(port, "default", "web", 1))
    running = asyncio.create_task(checks.run())
    for address in ("127.0.0.1", "::1"):
        await until(lambda address=address: socket.create_connection((address, port)).close() or True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
