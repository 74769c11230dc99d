"""Who is where, as a node knows it: its own pods before the API does, everybody else's from the API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from motet.kinds import network, node, podaddress, podmarks
from motet.kinds import pod as pod_kind
from motet.kinds.attachments import ANNOTATION, NetworkKey
from motet.network.roster import Roster
from motet.store.document import Document
from support.fake_client import FakeClient

Json = dict[str, Any]
FRONT = NetworkKey("default", "front")


def address(name: str, ip: str = "", where: str = "n1", networks: str = "", **labels: str) -> Json:
    annotations = {ANNOTATION: networks} if networks else {}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"nodeName": where},
        "status": {"phase": "Running", "podIP": ip},
    }


async def bound(client: FakeClient, name: str, networks: str = "front", **labels: str) -> Document:
    """A pod as its node reads it, before anybody knows its address."""
    return await client.create(pod_kind.KIND, address(name, networks=networks, **labels), "default")


async def roster(client: FakeClient) -> Roster:
    made = Roster(client, "n1")  # type: ignore[arg-type]
    await made.awake()
    return made


def addresses(made: Roster) -> dict[str, bool]:
    return {pod.address: pod.local for pod in made.everyone()}


async def test_a_pod_of_this_node_is_known_before_the_api_knows_its_address() -> None:
    client = FakeClient()
    made = await roster(client)
    made.admit(await bound(client, "web"), "10.42.0.5")
    (pod,) = made.everyone()
    assert (pod.address, pod.local, set(pod.networks)) == ("10.42.0.5", True, {FRONT})


async def test_others_are_known_from_the_api() -> None:
    client = FakeClient()
    await client.create(podaddress.KIND, address("far", "10.42.1.5", where="n2", networks="front"), "default")
    made = await roster(client)
    assert addresses(made) == {"10.42.1.5": False}
    await client.create(podaddress.KIND, address("near", "10.42.0.5"), "default")
    assert addresses(made) == {"10.42.1.5": False, "10.42.0.5": True}
    await client.delete(podaddress.KIND, "far", "default")
    assert addresses(made) == {"10.42.0.5": True}


async def test_an_address_that_is_given_out_again_is_the_new_pods_alone() -> None:
    client = FakeClient()
    await client.create(podaddress.KIND, address("old", "10.42.0.5"), "default")
    made = await roster(client)
    made.admit(await bound(client, "older"), "10.42.0.5")
    made.admit(await bound(client, "new", app="new"), "10.42.0.5")
    (pod,) = made.everyone()
    assert pod.labels == {"app": "new"}


async def test_a_pod_that_gave_its_address_back_is_forgotten() -> None:
    client = FakeClient()
    made = await roster(client)
    document = await bound(client, "web")
    made.admit(document, "10.42.0.5")
    made.dismiss(document.meta.uid)
    assert made.everyone() == []


async def test_a_change_of_labels_counts_from_when_either_way_brings_it() -> None:
    client = FakeClient()
    made = await roster(client)
    document = await bound(client, "web")
    made.admit(document, "10.42.0.5")
    changed = address("web", networks="front", app="web")
    changed["metadata"] |= {"uid": document.meta.uid, "namespace": "default"}
    await client.update(podaddress.KIND, changed)
    assert [pod.labels for pod in made.everyone()] == [{"app": "web"}]


async def test_nobody_needs_the_pods_until_there_is_a_network_or_a_pod_that_names_one() -> None:
    client = FakeClient()
    made = Roster(client, "n1")  # type: ignore[arg-type]
    await made.loaded()
    made.admit(await bound(client, "plain", networks=""), "10.42.0.5")
    assert made.idle
    made.admit(await bound(client, "web"), "10.42.0.6")
    assert not made.idle
    other = Roster(client, "n2")  # type: ignore[arg-type]
    await client.create(network.KIND, {"metadata": {"name": "front"}, "spec": {}}, "default")
    await other.loaded()
    assert not other.idle


async def test_gateways_are_the_first_addresses_of_the_other_nodes() -> None:
    client = FakeClient()
    for name, cidrs in (("n1", ["10.42.0.0/24"]), ("n2", ["10.42.1.0/24", "fd00:42:0:1::/64"]), ("new", [])):
        spec = {"podCIDR": cidrs[0], "podCIDRs": cidrs} if cidrs else {}
        await client.create(node.KIND, {"metadata": {"name": name}, "spec": spec})
    made = await roster(client)
    assert made.gateways(4) == {"10.42.1.1"}
    assert made.gateways(6) == {"fd00:42:0:1::1"}


async def test_whoever_waits_goes_on_when_rules_of_what_was_known_then_are_in_force() -> None:
    client = FakeClient()
    made = await roster(client)
    made.admit(await bound(client, "web"), "10.42.0.5")
    waiting = asyncio.ensure_future(made.enforced())
    await asyncio.sleep(0)
    assert made.waited_for
    made.enforce(made.revision - 1)
    await asyncio.sleep(0)
    assert not waiting.done()
    made.enforce(made.revision)
    await asyncio.wait_for(waiting, 1)
    assert not made.waited_for


async def test_rules_that_do_not_come_are_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.network.roster._PATIENCE_SECONDS", 0.01)
    made = await roster(FakeClient())
    with pytest.raises(TimeoutError):
        await made.enforced()


async def test_listeners_hear_of_what_changes_and_of_nothing_else() -> None:
    client = FakeClient()
    made = await roster(client)
    heard: list[int] = []
    stop = made.listen(lambda: heard.append(made.revision))
    document = await bound(client, "web")
    made.admit(document, "10.42.0.5")
    made.admit(document, "10.42.0.5")
    assert len(heard) == 1
    stop()
    made.dismiss(document.meta.uid)
    assert len(heard) == 1


async def test_an_address_of_ipv6_that_somebody_here_has_now_is_nobody_elses() -> None:
    client = FakeClient()
    document = {
        "metadata": {"name": "gone"},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIP": "10.42.0.9", "podIPs": [{"ip": "10.42.0.9"}, {"ip": "fd00:42::5"}]},
    }
    await client.create(podaddress.KIND, document, "default")
    made = await roster(client)
    assert {pod.second for pod in made.everyone()} == {"fd00:42::5"}
    made.admit(await bound(client, "web"), "10.42.0.5", second="fd00:42::5")
    assert {pod.address: pod.second for pod in made.everyone()} == {"10.42.0.5": "fd00:42::5", "10.42.0.9": ""}


async def test_whom_its_pods_want_asked_a_node_knows_though_the_api_does_not_tell_it() -> None:
    client = FakeClient()
    found = await roster(client)
    made = await client.create(
        pod_kind.KIND,
        {"metadata": {"name": "a", "annotations": {podmarks.NAME_SERVERS: "192.0.2.53,192.0.2.54"}}, "spec": {}},
        "default",
    )
    found.admit(made, "10.42.0.2")
    found.admit(await bound(client, "b"), "10.42.0.3")
    assert found.name_servers() == {"10.42.0.2": ("192.0.2.53", "192.0.2.54")}
    found.dismiss(made.meta.uid)
    assert found.name_servers() == {}
