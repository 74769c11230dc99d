"""A pod that is to end waits until its slices and the nodes know."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from motet.base.clock import FakeClock
from motet.kinds import endpointslice
from motet.network.proxy.draining import OTHERS_SECONDS, SliceView, State, state, until_drained
from support.fake_client import FakeClient


def endpoint(uid: str = "u1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": ["10.42.0.2"], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": uid}}


TAKING = endpoint(ready=True, serving=True, terminating=False)
LEAVING = endpoint(ready=False, serving=True, terminating=True)


@pytest.mark.parametrize(
    ("endpoints", "found"),
    [
        ([], State.UNKNOWN),
        ([endpoint("u2", ready=True)], State.UNKNOWN),
        ([TAKING], State.TAKING),
        ([LEAVING], State.LEAVING),
        ([LEAVING, TAKING], State.TAKING),
        ([endpoint(ready=False, serving=False, terminating=True)], State.UNKNOWN),
        # A service that publishes pods that are not ready says `ready` to the end.
        ([endpoint(ready=True, serving=True, terminating=True)], State.LEAVING),
    ],
)
def test_what_slices_say_of_a_pod(endpoints: list[dict[str, Any]], found: State) -> None:
    assert state([msgspec.convert({"endpoints": endpoints}, SliceView)], "u1") is found


async def drain(client: FakeClient, clock: FakeClock) -> asyncio.Task[None]:
    slices = await client.table(endpointslice.KIND)
    task = asyncio.create_task(until_drained(slices, "default", "u1", clock, 2.0))
    await clock.advance(0)
    return task


async def say(client: FakeClient, *endpoints: dict[str, Any]) -> None:
    body = {"metadata": {"name": "web-1", "namespace": "default"}, "addressType": "IPv4", "endpoints": list(endpoints)}
    await (client.update if client.writes else client.create)(endpointslice.KIND, body)  # type: ignore[operator]


async def test_a_pod_behind_no_service_does_not_wait() -> None:
    assert (await drain(FakeClient(), FakeClock())).done()


async def test_it_waits_for_its_slice_and_then_for_the_other_nodes() -> None:
    client, clock = FakeClient(), FakeClock()
    await say(client, TAKING)
    task = await drain(client, clock)
    await clock.advance(1.0)
    await say(client, LEAVING)
    await clock.advance(OTHERS_SECONDS)
    assert not task.done()
    await clock.advance(0.1)
    assert task.done()


async def test_nobody_waits_for_ever() -> None:
    client, clock = FakeClient(), FakeClock()
    await say(client, TAKING)
    task = await drain(client, clock)
    await clock.advance(1.9)
    assert not task.done()
    await clock.advance(0.2)
    assert task.done()
