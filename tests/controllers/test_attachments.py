"""Which volumes are attached where, and when they may be taken away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.controllers.world import World, world

from motet.controllers.attachments import Attachments, NodeState, Plan, Wish, decide
from motet.kinds import node, persistentvolume, persistentvolumeclaim, pod, volumeattachment

WISH = Wish("pv", "d", "h")
NAME = WISH.named("n1")
HELD = {NAME: WISH.unique}


def test_what_is_wanted_is_attached_once():
    assert decide("n1", [WISH], {}, NodeState(), ()).attach == (WISH,)
    assert decide("n1", [WISH], HELD, NodeState(), ()) == Plan()


def test_a_volume_for_one_node_waits_until_no_other_node_has_it():
    assert decide("n1", [WISH], {}, NodeState(), {"pv"}) == Plan(blocked=(WISH,))
    shared = Wish("pv", "d", "h", shared=True)
    assert decide("n1", [shared], {}, NodeState(), {"pv"}).attach == (shared,)


@pytest.mark.parametrize(
    ("state", "detached"),
    [
        (NodeState(), True),
        (NodeState(in_use=[WISH.unique]), False),
        (NodeState(in_use=[WISH.unique], silent_for=359.0), False),
        (NodeState(in_use=[WISH.unique], silent_for=360.0), True),
        (NodeState(in_use=[WISH.unique], lost=True), True),
    ],
)
def test_a_volume_is_detached_when_the_node_has_let_go_of_it_or_cannot_any_more(state: NodeState, detached: bool):
    assert bool(decide("n1", [], HELD, state, ()).detach) is detached


def test_a_silent_node_is_looked_at_again_when_its_time_is_over():
    plan = decide("n1", [], HELD, NodeState(in_use=[WISH.unique], silent_for=100.0), ())
    assert plan.look_in == 260.0


# On a real kernel.


async def attaching(it: World) -> None:
    await Attachments(it.client, it.clock, it.events).run()


def user(name: str, on: str) -> dict[str, Any]:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    spec = {"nodeName": on, "containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_volume_follows_its_pod_from_node_to_node(tmp_path: Path) -> None:
    async with world(tmp_path, attaching) as it:
        for name in ("n1", "n2"):
            await it.create(node.KIND, {"metadata": {"name": name}})
        common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        source = {"csi": {"driver": "d.example", "volumeHandle": "h"}, "capacity": {"storage": "1Gi"}}
        await it.create(persistentvolume.KIND, {"metadata": {"name": "pv"}, "spec": {**common, **source}})
        asked = {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": "pv"}
        await it.create(persistentvolumeclaim.KIND, {"metadata": {"name": "c"}, "spec": {**common, **asked}})

        def attached(to: str) -> list[str]:
            return [
                each["metadata"]["name"] for each in it.all(volumeattachment.KIND) if each["spec"]["nodeName"] == to
            ]

        await it.create(pod.KIND, user("a", "n1"))
        (name,) = await it.until(lambda: attached("n1"))
        assert name == Wish("pv", "d.example", "h").named("n1")
        await it.status(node.KIND, "n1", {"volumesInUse": ["kubernetes.io/csi/d.example^h"]})
        await it.client.delete(pod.KIND, "a", "default", grace_seconds=0)
        await it.create(pod.KIND, user("b", "n2"))
        assert attached("n1")
        assert not attached("n2")
        await it.status(node.KIND, "n1", {"volumesInUse": None})
        await it.until(lambda: attached("n2"))
        assert not attached("n1")
