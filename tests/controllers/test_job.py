"""Jobs on a real kernel: counting, ending, cleaning up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.controllers import builders
from tests.controllers.builders import NOW, view
from tests.controllers.world import World, kubelet, world

from motet.base.errors import Forbidden
from motet.controllers.garbage import GarbageCollector
from motet.controllers.job import Jobs
from motet.controllers.jobtracking import JobTracking
from motet.controllers.jobview import FINALIZER, JobView
from motet.controllers.ttlafterfinished import TtlAfterFinished, due_in
from motet.kinds import event, job, pod
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind

KIND = job.KIND


async def jobs(world: World) -> None:
    await Jobs(world.client, world.clock, world.events).run()


async def tracking(world: World) -> None:
    await JobTracking(world.client, world.clock).run()


async def ttl(world: World) -> None:
    await TtlAfterFinished(world.client, world.clock).run()


async def garbage(world: World) -> None:
    await GarbageCollector(world.client, world.clock, Catalogue()).run()


def work(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": "work"}, "spec": {"template": template, **spec}}


def status(world: World) -> dict[str, Any]:
    return (world.get(KIND, "work") or {}).get("status") or {}


def conditions(world: World) -> list[str]:
    return [each["type"] for each in status(world).get("conditions") or () if each["status"] == "True"]


async def end(world: World, phase: str = "Succeeded") -> None:
    """Every running pod ends."""
    for each in await world.until(lambda: [p for p in world.all(pod.KIND) if p["status"].get("phase") == "Running"]):
        await world.status(pod.KIND, each["metadata"]["name"], {"phase": phase})


async def test_a_job_runs_its_pods_and_counts_them(tmp_path: Path) -> None:
    async with world(tmp_path, jobs, kubelet) as it:
        await it.create(KIND, work(completions=2, parallelism=2))
        await it.until(lambda: status(it).get("ready") == 2)
        await end(it)
        await it.until(lambda: "Complete" in conditions(it))
        assert (status(it)["succeeded"], status(it)["uncountedTerminatedPods"], "active" in status(it)) == (
            2,
            {},
            False,
        )
        assert all(FINALIZER not in each["metadata"].get("finalizers", ()) for each in it.all(pod.KIND))
        await it.events.flush()
        reasons = [each["reason"] for each in it.all(event.KIND)]
        assert sorted(reasons) == ["Completed", "SuccessfulCreate", "SuccessfulCreate"]


async def test_a_job_that_failed_says_why(tmp_path: Path) -> None:
    async with world(tmp_path, jobs, kubelet) as it:
        await it.create(KIND, work(backoffLimit=0))
        await end(it, "Failed")
        await it.until(lambda: "Failed" in conditions(it))
        assert status(it)["failed"] == 1
        await it.events.flush()
        told = {each["reason"]: each["message"] for each in it.all(event.KIND)}
        assert told["BackoffLimitExceeded"] == "Job has reached the specified backoff limit"


async def test_the_pods_of_a_deleted_job_go_too(tmp_path: Path) -> None:
    async with world(tmp_path, jobs, tracking, garbage, kubelet) as it:
        await it.create(KIND, work(completions=2, parallelism=2))
        await it.until(lambda: status(it).get("ready") == 2)
        await it.client.delete(KIND, "work", "default")
        await it.until(lambda: not it.all(pod.KIND))


async def test_pods_that_no_job_will_count_are_set_free(tmp_path: Path) -> None:
    async with world(tmp_path, tracking) as it:
        body = {**work()["spec"]["template"], "metadata": {"name": "lost", "finalizers": [FINALIZER]}}
        body["metadata"]["ownerReferences"] = [builders.owner("Job", "gone", "no-such-uid", "batch/v1")]
        await it.create(pod.KIND, body)
        await it.until(lambda: "finalizers" not in (it.get(pod.KIND, "lost") or {})["metadata"])


async def test_a_pod_it_takes_over_is_tracked_from_then_on(tmp_path: Path) -> None:
    labels = {"app": "work"}
    own = work(manualSelector=True, selector={"matchLabels": labels})
    own["spec"]["template"]["metadata"] = {"labels": labels}
    async with world(tmp_path, jobs) as it:
        stray = {**work()["spec"]["template"], "metadata": {"name": "stray", "labels": labels}}
        await it.create(pod.KIND, stray)
        await it.create(KIND, own)
        await it.until(lambda: (it.get(pod.KIND, "stray") or {})["metadata"].get("ownerReferences"))
        assert FINALIZER in (it.get(pod.KIND, "stray") or {})["metadata"]["finalizers"]
        await it.until(lambda: status(it).get("active") == 1)
        assert len(it.all(pod.KIND)) == 1


async def test_a_pod_without_its_labels_is_let_go_and_replaced(tmp_path: Path) -> None:
    async with world(tmp_path, jobs, tracking, kubelet) as it:
        await it.create(KIND, work())
        await it.until(lambda: status(it).get("ready") == 1)
        name = it.all(pod.KIND)[0]["metadata"]["name"]
        await it.client.patch(pod.KIND, name, {"metadata": {"labels": None}}, "default")
        await it.until(
            lambda: not {"ownerReferences", "finalizers"} & (it.get(pod.KIND, name) or {})["metadata"].keys()
        )
        await it.until(lambda: len(it.all(pod.KIND)) == 2 and status(it).get("active") == 1)


async def test_a_job_that_others_manage_is_left_to_them(tmp_path: Path) -> None:
    async with world(tmp_path, jobs) as it:
        await it.create(KIND, work(managedBy="example.org/queue"))
        mine = work()
        mine["metadata"]["name"] = "mine"
        await it.create(KIND, mine)
        await it.until(lambda: it.all(pod.KIND))
        assert [each["metadata"]["ownerReferences"][0]["name"] for each in it.all(pod.KIND)] == ["mine"]


async def test_what_cannot_be_made_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, jobs, kubelet) as it:
        create, refused = it.client.create, 0

        async def refuse(kind: Kind, document: dict[str, Any], namespace: str = "") -> Any:
            nonlocal refused
            if kind is pod.KIND and refused < 3:
                refused += 1
                raise Forbidden("exceeded quota: small")
            return await create(kind, document, namespace)

        monkeypatch.setattr(it.client, "create", refuse)
        await it.create(KIND, work())
        await it.until(lambda: status(it).get("ready") == 1)
        await it.events.flush()
        assert "Error creating: exceeded quota: small" in {each["message"] for each in it.all(event.KIND)}


async def test_a_finished_job_goes_when_its_time_is_over(tmp_path: Path) -> None:
    async with world(tmp_path, jobs, tracking, ttl, garbage, kubelet) as it:
        await it.create(KIND, work(ttlSecondsAfterFinished=0))
        await end(it)
        await it.until(lambda: it.get(KIND, "work") is None and not it.all(pod.KIND))


def test_the_time_counts_from_the_end() -> None:
    condition = {"type": "Failed", "status": "True", "lastTransitionTime": builders.ago(10)}
    body = {
        "metadata": {"name": "work"},
        "spec": {"ttlSecondsAfterFinished": 60},
        "status": {"conditions": [condition]},
    }
    assert due_in(view(JobView, body), NOW) == 50
    assert due_in(view(JobView, body), NOW + timedelta(seconds=60)) == -10
    assert due_in(view(JobView, {**body, "status": {}}), NOW) is None
    assert due_in(view(JobView, {**body, "spec": {}}), NOW) is None
