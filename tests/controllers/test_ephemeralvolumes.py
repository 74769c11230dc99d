"""Claims that are made from a pod's own spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.builders import view
from tests.controllers.world import World, world

from motet.controllers.ephemeralvolumes import EphemeralVolumes, Plan, VolumesView, decide
from motet.kinds import persistentvolumeclaim, pod
from motet.store.document import Meta, OwnerReference

SPEC: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": SPEC}


def body(*volumes: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": name, "ephemeral": {"volumeClaimTemplate": TEMPLATE}} for name in volumes],
        },
    }


def decided(pod: dict[str, Any], claims: dict[str, Meta]) -> Plan:
    return decide(view(VolumesView, pod), claims.get)


def of(uid: str) -> Meta:
    return Meta(owner_references=(OwnerReference("v1", "Pod", "web", uid, controller=True),))


def test_a_claim_is_called_after_pod_and_volume_and_belongs_to_the_pod() -> None:
    ((volume, claim),) = decided(body("tmp"), {}).create
    assert (volume, claim["metadata"]["name"], claim["metadata"]["labels"]) == ("tmp", "web-tmp", {"a": "b"})
    (owner,) = claim["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], claim["spec"]) == ("u", True, SPEC)


def test_claims_that_are_there_are_left_alone_whatever_was_written_before() -> None:
    wanted = body("a", "b", "c")
    names = ["web-a", "web-b", "web-c"]
    for written in range(4):
        plan = decided(wanted, {name: of("u") for name in names[:written]})
        assert [claim["metadata"]["name"] for _, claim in plan.create] == names[written:]
        assert plan.problems == ()


def test_a_claim_of_somebody_else_is_a_problem_and_not_used() -> None:
    words = "ephemeral volume tmp: PVC default/web-tmp was not created for pod default/web (pod is not owner)"
    for other in (of("earlier"), Meta()):
        assert decided(body("tmp"), {"web-tmp": other}) == Plan(problems=(words,))


def test_a_pod_that_goes_gets_nothing() -> None:
    going = body("tmp")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert decided(going, {}) == Plan()


# On a real kernel.


async def ephemeral(it: World) -> None:
    await EphemeralVolumes(it.client, it.clock, it.events).run()


async def test_a_pod_gets_its_claim_as_soon_as_its_name_is_free(tmp_path: Path) -> None:
    async with world(tmp_path, ephemeral) as it:
        await it.create(persistentvolumeclaim.KIND, {"metadata": {"name": "web-tmp"}, "spec": SPEC})
        made = await it.create(pod.KIND, body("tmp") | {"metadata": {"name": "web"}})
        await it.client.delete(persistentvolumeclaim.KIND, "web-tmp", "default")
        found = await it.until(lambda: it.get(persistentvolumeclaim.KIND, "web-tmp"))
        assert found["metadata"]["ownerReferences"][0]["uid"] == made.meta.uid
