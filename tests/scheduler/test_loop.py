"""The loop against a real registry: what becomes of pods as the world around them changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, world
from tests.scheduler.builders import container

from motet.base.errors import Conflict
from motet.client.events import EventRecorder
from motet.client.local import LocalClient
from motet.kinds import (
    csidriver,
    csistoragecapacity,
    event,
    node,
    persistentvolume,
    persistentvolumeclaim,
    pod,
    storageclass,
)
from motet.scheduler.claims import SELECTED_NODE
from motet.scheduler.loop import Scheduler
from motet.store.document import Document


class Stubborn(LocalClient):
    """Refuses the first `conflicts` bindings, and notes in which order pods are bound."""

    conflicts = 0

    def __init__(self, inner: LocalClient) -> None:
        super().__init__(inner._registry)
        self.bound: list[str] = []

    async def bind(self, bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        wanted = tuple(bindings)
        if self.conflicts:
            self.conflicts -= 1
            return [Conflict("somebody was faster") for _ in wanted]
        self.bound += [name for _, name, _, _ in wanted]
        return await super().bind(wanted)


class Cluster:
    def __init__(self, world: World) -> None:
        self.world = world
        self.client = Stubborn(world.client)
        self.events = EventRecorder(self.client, world.clock, "default-scheduler")

    async def node(self, name: str, cpu: str = "4", **more: Any) -> None:
        await self.world.create(node.KIND, {"metadata": {"name": name, "labels": more.pop("labels", {})}, **more})
        await self.offer(name, cpu)

    async def offer(self, name: str, cpu: str) -> None:
        offered = {"cpu": cpu, "memory": "8Gi", "pods": "20"}
        await self.world.status(node.KIND, name, {"capacity": offered, "allocatable": offered})

    async def pod(self, name: str, cpu: str = "1", **spec: Any) -> None:
        body = {"metadata": {"name": name}, "spec": {"containers": [container(cpu=cpu)], **spec}}
        await self.world.create(pod.KIND, body)

    def document(self, name: str) -> Document:
        found = self.world.registry.table(pod.KIND).get(name, "default")
        assert found is not None
        return found

    def where(self, name: str) -> str:
        return str(self.document(name).decode()["spec"].get("nodeName", ""))

    def condition(self, name: str) -> dict[str, Any]:
        conditions = self.document(name).decode()["status"].get("conditions", ())
        return next((each for each in conditions if each["type"] == "PodScheduled"), {})

    async def placed(self, name: str) -> str:
        return str(await self.world.until(lambda: self.where(name)))

    async def refused(self, name: str) -> str:
        await self.world.until(lambda: self.condition(name).get("status") == "False")
        return str(self.condition(name)["message"])

    def said(self, reason: str) -> list[str]:
        return [each["message"] for each in self.world.all(event.KIND) if each["reason"] == reason]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made: list[Cluster] = []

    async def scheduler(world: World) -> None:
        made.append(Cluster(world))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made[0].events.run())
            tasks.create_task(Scheduler(made[0].client, made[0].events, world.clock).run())

    async with world(tmp_path, scheduler) as running:
        await running.until(lambda: made)
        yield made[0]


async def test_a_pod_gets_a_node_a_condition_and_an_event(cluster: Cluster) -> None:
    await cluster.node("n1")
    await cluster.pod("web")
    assert await cluster.placed("web") == "n1"
    assert cluster.condition("web")["status"] == "True"
    await cluster.world.until(lambda: cluster.said("Scheduled"))
    assert cluster.said("Scheduled") == ["Successfully assigned default/web to n1"]


async def test_a_pod_without_a_place_is_placed_when_a_node_comes(cluster: Cluster) -> None:
    await cluster.pod("web")
    assert await cluster.refused("web") == "no nodes available to schedule pods"
    await cluster.node("n1")
    assert await cluster.placed("web") == "n1"


async def test_a_pod_is_placed_when_another_makes_room(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("first")
    await cluster.placed("first")
    await cluster.pod("second")
    assert await cluster.refused("second") == "0/1 nodes are available: 1 Insufficient cpu."
    await cluster.client.delete(pod.KIND, "first", "default", grace_seconds=0)
    assert await cluster.placed("second") == "n1"


async def test_a_finished_pod_gives_its_room_back(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("first")
    await cluster.placed("first")
    await cluster.world.status(pod.KIND, "first", {"phase": "Succeeded"})
    await cluster.pod("second")
    assert await cluster.placed("second") == "n1"


async def test_the_same_reason_is_told_once(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("big", cpu="9")
    await cluster.refused("big")
    await cluster.world.until(lambda: cluster.said("FailedScheduling"))
    told = cluster.document("big").revision
    # Each of these makes the loop look at the pod again.
    await cluster.offer("n1", "2")
    await cluster.pod("marker", cpu="2")
    await cluster.placed("marker")
    await cluster.offer("n1", "4")
    await cluster.pod("marker-2", cpu="2")
    await cluster.placed("marker-2")
    assert cluster.document("big").revision == told
    assert cluster.said("FailedScheduling") == ["0/1 nodes are available: 1 Insufficient cpu."]


async def test_a_new_reason_keeps_the_time_since_when_the_pod_waits(cluster: Cluster) -> None:
    await cluster.pod("big", cpu="9")
    await cluster.refused("big")
    since = cluster.condition("big")["lastTransitionTime"]
    await cluster.node("n1", cpu="1")
    await cluster.world.until(lambda: "Insufficient" in cluster.condition("big")["message"])
    assert cluster.condition("big")["lastTransitionTime"] == since


async def test_a_binding_that_lost_is_tried_again(cluster: Cluster) -> None:
    cluster.client.conflicts = 2
    await cluster.node("n1", cpu="1")
    await cluster.pod("web")
    assert await cluster.placed("web") == "n1"


async def test_nothing_is_left_of_a_pod_that_vanished_while_it_was_bound(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    bind = cluster.client.bind

    async def too_late(bindings: Iterable[tuple[str, str, str, str]]) -> Sequence[Exception | None]:
        await cluster.client.delete(pod.KIND, "gone", "default", grace_seconds=0)
        cluster.client.bind = bind  # type: ignore[method-assign]
        return await bind(bindings)

    cluster.client.bind = too_late  # type: ignore[method-assign,assignment]
    await cluster.pod("gone")
    await cluster.world.until(lambda: cluster.world.get(pod.KIND, "gone") is None)
    await cluster.pod("next")
    assert await cluster.placed("next") == "n1"


async def test_a_pod_that_names_its_node_counts_there(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("static", nodeName="n1")
    await cluster.pod("web")
    assert "Insufficient cpu" in await cluster.refused("web")


async def test_pods_of_a_node_that_comes_back_still_count(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("first")
    await cluster.placed("first")
    await cluster.client.delete(node.KIND, "n1")
    await cluster.node("n1", cpu="1")
    await cluster.pod("second")
    assert "Insufficient cpu" in await cluster.refused("second")


async def test_gates_hold_a_pod_until_they_are_gone(cluster: Cluster) -> None:
    await cluster.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
    await cluster.node("n1")
    await cluster.pod("other")
    await cluster.placed("other")
    assert not cluster.where("gated")
    await cluster.client.patch(pod.KIND, "gated", {"spec": {"schedulingGates": []}}, "default")
    assert await cluster.placed("gated") == "n1"


async def test_pods_of_another_scheduler_are_not_ours(cluster: Cluster) -> None:
    await cluster.pod("foreign", schedulerName="somebody-else")
    await cluster.node("n1")
    await cluster.pod("ours")
    await cluster.placed("ours")
    assert not cluster.where("foreign")


async def test_what_is_not_supported_is_refused_by_name(cluster: Cluster) -> None:
    await cluster.node("n1")
    await cluster.pod("picky", resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}])
    assert await cluster.refused("picky") == "not supported yet: spec.resourceClaims"


def near(app: str) -> dict[str, Any]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


async def test_a_pod_that_wants_company_is_placed_when_it_comes(cluster: Cluster) -> None:
    for name in ("n1", "n2"):
        await cluster.node(name, labels={"kubernetes.io/hostname": name})
    await cluster.pod("friend", affinity=near("db"))
    assert "2 node(s) didn't match pod affinity rules" in await cluster.refused("friend")
    body = {
        "metadata": {"name": "db", "labels": {"app": "db"}},
        "spec": {"containers": [container()], "nodeName": "n2"},
    }
    await cluster.world.create(pod.KIND, body)
    assert await cluster.placed("friend") == "n2"


async def test_a_pod_that_changes_its_labels_changes_what_others_think_of_it(cluster: Cluster) -> None:
    await cluster.node("n1", labels={"kubernetes.io/hostname": "n1"})
    body = {"metadata": {"name": "db"}, "spec": {"containers": [container()], "nodeName": "n1"}}
    await cluster.world.create(pod.KIND, body)
    await cluster.pod("friend", affinity=near("db"))
    await cluster.refused("friend")
    await cluster.client.patch(pod.KIND, "db", {"metadata": {"labels": {"app": "db"}}}, "default")
    assert await cluster.placed("friend") == "n1"


async def test_the_higher_priority_comes_first(cluster: Cluster) -> None:
    for name in ("a", "b", "c"):
        await cluster.pod(name)
        await cluster.refused(name)
    await cluster.pod("important", priority=1000)
    await cluster.refused("important")
    await cluster.node("n1", cpu="4")
    for name in ("a", "b", "c", "important"):
        await cluster.placed(name)
    assert cluster.client.bound[0] == "important"


# Volumes


async def storage_class(cluster: Cluster, *, provisioner: str = "example.com/disk", **more: Any) -> None:
    body = {"metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    await cluster.world.create(storageclass.KIND, {**body, **more})


async def claim(
    cluster: Cluster, name: str = "data", storage_class: str = "late", modes: tuple[str, ...] = ("ReadWriteOnce",)
) -> None:
    spec = {
        "accessModes": list(modes),
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": storage_class,
    }
    await cluster.world.create(persistentvolumeclaim.KIND, {"metadata": {"name": name}, "spec": spec})


def mounting(*claims: str) -> dict[str, Any]:
    return {"volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]}


async def volume(cluster: Cluster, name: str, on: str, storage_class: str = "late") -> None:
    expression = {"key": "metadata.name", "operator": "In", "values": [on]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "local": {"path": "/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchFields": [expression]}]}},
    }
    await cluster.world.create(persistentvolume.KIND, {"metadata": {"name": name}, "spec": spec})


async def bound_claim(cluster: Cluster, name: str, volume_name: str) -> None:
    await cluster.client.patch(persistentvolumeclaim.KIND, name, {"spec": {"volumeName": volume_name}}, "default")
    await cluster.world.status(persistentvolumeclaim.KIND, name, {"phase": "Bound"})


def promised(cluster: Cluster, name: str = "data") -> str:
    found = cluster.world.get(persistentvolumeclaim.KIND, name) or {"metadata": {}}
    return str(found["metadata"].get("annotations", {}).get(SELECTED_NODE, ""))


async def test_a_claim_that_waits_for_its_consumer_is_promised_first_and_the_pod_bound_after(cluster: Cluster) -> None:
    await storage_class(cluster)
    await claim(cluster)
    await cluster.node("n1")
    await cluster.pod("db", **mounting("data"))
    assert await cluster.world.until(lambda: promised(cluster)) == "n1"
    assert not cluster.where("db")
    await volume(cluster, "v1", "n1")
    await bound_claim(cluster, "data", "v1")
    assert await cluster.placed("db") == "n1"


async def test_a_pod_is_placed_when_its_driver_has_found_room(cluster: Cluster) -> None:
    await cluster.world.create(csidriver.KIND, {"metadata": {"name": "example.com"}, "spec": {"storageCapacity": True}})
    await storage_class(cluster, provisioner="example.com")
    await claim(cluster)
    await cluster.node("n1", labels={"zone": "a"})
    await cluster.pod("db", **mounting("data"))
    assert "did not have enough free storage" in await cluster.refused("db")
    room = {"storageClassName": "late", "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": "2Gi"}
    await cluster.world.create(csistoragecapacity.KIND, {"metadata": {"name": "a"}, **room})
    assert await cluster.world.until(lambda: promised(cluster)) == "n1"


async def test_events_tell_which_volume_keeps_a_pod_on_which_node(cluster: Cluster) -> None:
    await storage_class(cluster)
    await claim(cluster)
    await cluster.node("n1")
    await cluster.pod("db", **mounting("data"))
    await cluster.world.until(lambda: promised(cluster))
    await volume(cluster, "v1", "n1")
    await bound_claim(cluster, "data", "v1")
    await cluster.placed("db")
    pinned = 'volume "v1" of claim "data" is on node n1'
    await cluster.world.until(lambda: cluster.said("Scheduled"))
    assert cluster.said("Scheduled") == [f"Successfully assigned default/db to n1: {pinned}"]
    await cluster.node("n2")
    await cluster.world.client.patch(node.KIND, "n1", {"spec": {"unschedulable": True}})
    await cluster.pod("other", **mounting("data"))
    expected = f"1 node(s) had volume node affinity conflict ({pinned}), 1 node(s) were unschedulable."
    assert await cluster.refused("other") == f"0/2 nodes are available: {expected}"


async def test_pods_that_share_a_claim_go_where_it_was_promised(cluster: Cluster) -> None:
    await storage_class(cluster)
    await claim(cluster)
    await cluster.pod("db", **mounting("data"))
    await cluster.pod("backup", cpu="2", **mounting("data"))
    await cluster.refused("backup")
    await cluster.node("n1")
    await cluster.node("n2")
    node_name = await cluster.world.until(lambda: promised(cluster))
    await volume(cluster, "v1", node_name)
    await bound_claim(cluster, "data", "v1")
    assert await cluster.placed("db") == node_name
    assert await cluster.placed("backup") == node_name


async def test_a_promise_given_back_is_made_anew(cluster: Cluster) -> None:
    await storage_class(cluster)
    await claim(cluster)
    await cluster.node("n1")
    await cluster.pod("db", **mounting("data"))
    await cluster.world.until(lambda: promised(cluster) == "n1")
    await cluster.node("n2")
    await cluster.client.delete(node.KIND, "n1")
    given_back = {"metadata": {"annotations": {SELECTED_NODE: None}}}
    await cluster.client.patch(persistentvolumeclaim.KIND, "data", given_back, "default")
    await cluster.world.until(lambda: promised(cluster) == "n2")


async def test_a_claim_without_a_provisioner_draws_the_pod_to_where_a_volume_is(cluster: Cluster) -> None:
    await storage_class(cluster, provisioner="kubernetes.io/no-provisioner")
    await claim(cluster)
    await cluster.node("n1")
    await cluster.node("n2")
    await cluster.pod("db", **mounting("data"))
    expected = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    assert await cluster.refused("db") == expected
    await volume(cluster, "v1", "n2")
    assert await cluster.world.until(lambda: promised(cluster)) == "n2"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (("absent",), 'persistentvolumeclaim "absent" not found'),
        (("data",), "pod has unbound immediate PersistentVolumeClaims"),
    ],
)
async def test_claims_that_nobody_can_help_are_the_reason_to_wait(
    cluster: Cluster, claims: tuple[str, ...], reason: str
) -> None:
    await claim(cluster, "data", storage_class="")
    await cluster.node("n1")
    await cluster.pod("db", **mounting(*claims))
    assert await cluster.refused("db") == f"0/1 nodes are available: {reason}."


EPHEMERAL = {"volumes": [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {
    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]}  # fmt: skip


async def test_a_pod_waits_for_the_claim_that_is_made_for_it_and_takes_nobody_elses(cluster: Cluster) -> None:
    await cluster.node("n1")
    await cluster.pod("web", **EPHEMERAL)
    waits = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "web-tmp"'
    assert await cluster.refused("web") == f"0/1 nodes are available: {waits}."
    await claim(cluster, "web-tmp")
    other = "PVC default/web-tmp was not created for pod default/web (pod is not owner)"
    await cluster.world.until(lambda: other in reason(cluster, "web"))


def reason(cluster: Cluster, name: str) -> str:
    return str((cluster.world.get(pod.KIND, name) or {})["status"]["conditions"][0]["message"])


async def test_one_pod_alone_has_a_claim_that_says_so(cluster: Cluster) -> None:
    await claim(cluster, "one", modes=("ReadWriteOncePod",))
    await volume(cluster, "v1", "n1")
    await bound_claim(cluster, "one", "v1")
    await cluster.node("n1")
    for name in ("a", "b"):
        await cluster.pod(name, **mounting("one"))
    taken = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    first = await cluster.world.until(lambda: next((each for each in ("a", "b") if cluster.where(each)), ""))
    second = "b" if first == "a" else "a"
    assert await cluster.refused(second) == f"0/1 nodes are available: 1 {taken}."
    await cluster.client.delete(pod.KIND, first, "default", grace_seconds=0)
    await cluster.placed(second)


async def test_a_pod_of_higher_priority_takes_the_place_of_a_lower_one(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="2")
    for name in ("low", "lower"):
        await cluster.pod(name, priority=-len(name), terminationGracePeriodSeconds=0)
        await cluster.placed(name)
    await cluster.pod("high", priority=10)
    assert await cluster.placed("high") == "n1"
    assert cluster.document("high").decode()["status"]["nominatedNodeName"] == "n1"
    assert [body["metadata"]["name"] for body in cluster.world.all(pod.KIND)] == ["high", "low"]
    await cluster.world.until(lambda: cluster.said("Preempted"))


async def test_a_pod_that_never_preempts_waits(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("low")
    await cluster.placed("low")
    await cluster.pod("polite", priority=10, preemptionPolicy="Never")
    await cluster.refused("polite")
    assert cluster.where("low") == "n1"


async def test_room_made_for_one_is_not_taken_by_another(cluster: Cluster) -> None:
    await cluster.node("n1", cpu="1")
    await cluster.pod("low", priority=-1)
    await cluster.placed("low")
    await cluster.pod("high", priority=10)
    await cluster.world.until(lambda: cluster.document("low").meta.deletion_timestamp)
    for name in ("late", "later"):
        await cluster.pod(name)
        await cluster.refused(name)
    await cluster.client.delete(pod.KIND, "low", "default", grace_seconds=0)
    assert await cluster.placed("high") == "n1"
    assert not cluster.where("late")
