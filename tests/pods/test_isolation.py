"""What an agent that comes after another knows of the pods that run: their addresses, labels and networks."""

from __future__ import annotations

from dataclasses import replace

from motet.network.roster import Roster
from motet.pods.isolation import recall
from motet.pods.model import NODE, POD_UID
from motet.runtime.hollow import HollowRuntime
from motet.runtime.interface import SandboxConfig
from support.fake_client import FakeClient

WEB = SandboxConfig("web", "shop", "uid-1", 0, "web", "/var/log/pods", "/pods/uid-1")
FRONT = {"motet.dev/networks": "front"}


async def recalled(*configs: SandboxConfig) -> Roster:
    runtime, roster = HollowRuntime(), Roster(FakeClient(), "n1")  # type: ignore[arg-type]
    for config in configs:
        await runtime.run_sandbox(config)
    await recall(runtime, roster, "n1")
    await runtime.close()
    return roster


async def test_pods_that_run_are_entered_with_all_that_rules_look_at() -> None:
    labels = {"app": "web", POD_UID: "uid-1", NODE: "n1"}
    (pod,) = (await recalled(replace(WEB, labels=labels, annotations=FRONT))).own()
    assert (pod.namespace, dict(pod.labels), pod.local) == ("shop", {"app": "web"}, True)
    assert [str(key) for key in pod.networks] == ["shop/front"]
    assert pod.address


async def test_those_of_another_node_and_those_without_an_address_are_not() -> None:
    strange = replace(WEB, uid="uid-2", labels={NODE: "n2"})
    assert not (await recalled(strange, replace(WEB, uid="uid-3", host_network=True))).own()
