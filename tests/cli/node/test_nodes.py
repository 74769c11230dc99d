"""What a node may be used for, in three words, and what is typed to say so."""

from __future__ import annotations

from typing import Any

import click
import pytest

from motet.base.errors import MotetError
from motet.cli.node import drain, label, ls, nodes, rm
from motet.cli.progress import Quiet
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from support.fake_client import FakeClient

NOW = "2026-01-01T00:00:00Z"


def node(name: str = "n1", ready: str = "True", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"disk": "slow"}},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "it says"}]},
    }


async def cluster(*documents: dict[str, Any]) -> FakeClient:
    client = FakeClient()
    for document in documents:
        await client.create(node_kind.KIND, document)
    return client


async def view(client: FakeClient) -> nodes.NodeView:
    return (await client.get(node_kind.KIND, "n1")).view(nodes.NodeView)


async def test_availability_goes_through_its_three_words_and_back():
    client = await cluster(node())
    seen = [(await view(client)).availability]
    for word in (nodes.DRAIN, nodes.PAUSE, nodes.ACTIVE):
        assert await nodes.make(client, "n1", word)
        assert not await nodes.make(client, "n1", word)
        seen.append((await view(client)).availability)
    assert seen == ["active", "drain", "pause", "active"]


async def test_a_node_cordoned_by_kubectl_is_paused():
    assert (await view(await cluster(node(unschedulable=True)))).availability == "pause"


@pytest.mark.parametrize(("ready", "state"), [("True", "ready"), ("False", "not ready"), ("Unknown", "unknown")])
async def test_the_state_is_that_of_the_ready_condition(ready: str, state: str):
    found = await view(await cluster(node(ready=ready)))
    assert (found.state, found.trouble) == (state, "" if ready == "True" else "it says")


async def test_what_else_is_the_matter_with_a_node_is_told_too():
    document = node()
    full = {"type": "DiskPressure", "status": "True", "message": "the disk is full"}
    skewed = {"type": "ClockSkew", "status": "True", "message": "the clock is wrong"}
    document["status"]["conditions"] += [full, skewed, {"type": "PIDPressure", "status": "False", "message": "fine"}]
    assert (await view(await cluster(document))).trouble == "the disk is full; the clock is wrong"


async def test_a_name_that_is_none_is_answered_with_those_there_are():
    with pytest.raises(MotetError, match="there is no node 'n9'; there are: n1"):
        await nodes.find(await cluster(node()), "n9")


def test_labels_are_set_with_an_equals_sign_and_taken_away_with_a_dash():
    assert label.parse(("a=b", "c=", "d-", "e.f/g=h-")) == {"a": "b", "c": "", "d": None, "e.f/g": "h-"}


@pytest.mark.parametrize("text", ["a", "=b", "-", ""])
def test_what_is_no_label_is_refused(text: str):
    with pytest.raises(click.BadParameter, match="expected KEY=VALUE"):
        label.parse((text,))


async def test_labels_are_changed_and_one_that_is_not_there_cannot_be_taken_away():
    client = await cluster(node())
    await nodes.change(client, "n1", {"disk": None, "zone": "a"})
    assert (await client.get(node_kind.KIND, "n1")).meta.labels == {"zone": "a"}
    with pytest.raises(MotetError, match="has no label disk"):
        await nodes.change(client, "n1", {"disk": None})


async def test_a_living_node_is_removed_with_force_only():
    client = await cluster(node())
    with pytest.raises(MotetError, match="is alive"):
        await rm.remove(client, "n1", force=False)  # type: ignore[arg-type]
    await rm.remove(client, "n1", force=True)  # type: ignore[arg-type]
    assert await client.list(node_kind.KIND) == []


async def test_a_dead_node_is_removed_without_ado():
    client = await cluster(node(ready="Unknown"))
    await rm.remove(client, "n1", force=False)  # type: ignore[arg-type]
    assert await client.list(node_kind.KIND) == []


async def test_draining_refuses_pods_that_nothing_replaces_before_it_touches_anything():
    client = await cluster(node())
    pod = {"metadata": {"name": "lonely"}, "spec": {"nodeName": "n1", "containers": []}}
    await client.create(pod_kind.KIND, pod, "default")
    with pytest.raises(MotetError, match="nothing replaces these pods when they are removed: default/lonely"):
        await drain.drain(client, "n1", drain.Wanted(), Quiet())  # type: ignore[arg-type]
    assert (await view(client)).availability == "active"


async def test_draining_an_empty_node_marks_it_and_is_done():
    client = await cluster(node())
    assert await drain.drain(client, "n1", drain.Wanted(), Quiet()) == 0  # type: ignore[arg-type]
    assert (await view(client)).availability == "drain"


async def test_draining_leaves_the_pods_of_daemon_sets_where_they_belong():
    client = await cluster(node())
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "logs", "uid": "u", "controller": True}
    pod = {"metadata": {"name": "logs", "ownerReferences": [owner]}, "spec": {"nodeName": "n1", "containers": []}}
    await client.create(pod_kind.KIND, pod, "default")
    assert await drain.drain(client, "n1", drain.Wanted(), Quiet()) == 0  # type: ignore[arg-type]
    assert await client.get(pod_kind.KIND, "logs", "default")


async def test_the_list_counts_what_runs_on_each():
    from datetime import UTC, datetime

    client = await cluster(node("n1"), node("n2", ready="Unknown"))
    for name, where, phase in (("a", "n1", "Running"), ("b", "n1", "Succeeded"), ("c", "", "Pending")):
        pod = {"metadata": {"name": name}, "spec": {"nodeName": where, "containers": []}, "status": {"phase": phase}}
        await client.create(pod_kind.KIND, pod, "default")
    found = await ls.rows(client, "n1", datetime(2026, 1, 1, tzinfo=UTC))
    assert [(row.name, row.role, row.state, row.pods) for row in found] == [
        ("n1", "manager", "ready", 1),
        ("n2", "worker", "unknown", 0),
    ]
    assert "n2: it says" in ls.table(found, wide=False)
