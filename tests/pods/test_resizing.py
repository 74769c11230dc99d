from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from motet.pods import resizing, resources
from motet.pods.decide import decide
from motet.pods.model import Failure, Observed, Records, ResizeContainer, StopContainers
from motet.pods.resizing import Room
from motet.pods.spec import Pod, ResourceList
from motet.pods.status import Host, compute
from motet.runtime.interface import Resources
from support.pods import START, app, container, pod, sandbox

SEEN = Observed((sandbox(),), (container(),))
ROOM = Room(cpu=2000, memory=4 << 30, cpu_used=1000, memory_used=0)


def sized(cpu: str, memory: str = "64Mi", **fields: Any) -> Pod:
    return pod(app(resources={"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}, **fields))


def had(wanted: Pod) -> dict[str, Resources]:
    return {"app-0": resources.of_container(wanted, wanted.spec.containers[0], 1 << 30)}


def test_what_a_node_has_room_for_is_granted():
    assert resizing.judge(sized("1000m"), sized("500m"), ROOM) is None


def test_what_it_has_no_room_for_now_is_deferred():
    pending = resizing.judge(sized("1500m"), sized("500m"), ROOM)
    assert pending is not None
    assert (pending.reason, pending.message) == (
        "Deferred", "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    )  # fmt: skip


def test_what_it_can_never_give_is_infeasible():
    pending = resizing.judge(sized("100m", "8Gi"), sized("100m"), ROOM)
    assert pending is not None
    assert pending.reason == "Infeasible"


def test_giving_back_is_always_granted():
    full = replace(ROOM, cpu_used=5000)
    assert resizing.judge(sized("400m"), sized("500m"), full) is None


def test_a_container_is_made_with_what_was_granted_and_not_with_what_is_asked():
    asked = sized("2")
    granted = resizing.with_granted(asked, {"app": ResourceList(requests={"cpu": "1"})})
    assert granted.spec.containers[0].resources.requests == {"cpu": "1"}
    assert resizing.with_granted(asked, resizing.asked(asked)) is asked


def test_a_running_container_is_brought_to_what_it_should_have():
    before, after = sized("500m"), sized("1")
    step = decide(after, SEEN, Records(prepared=True, has=had(before)), START).step
    assert isinstance(step, ResizeContainer)
    assert step.resources.cpu_shares == 1024
    assert decide(after, SEEN, Records(prepared=True, has=had(after)), START).step is None


def test_a_container_that_must_be_restarted_for_memory_is_and_for_processor_is_not():
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    records = Records(prepared=True, has=had(sized("500m")))
    step = decide(sized("500m", "128Mi", resizePolicy=policy), SEEN, records, START).step
    assert isinstance(step, StopContainers)
    assert isinstance(decide(sized("1", resizePolicy=policy), SEEN, records, START).step, ResizeContainer)


def test_a_resize_that_failed_is_tried_again_later_and_keeps_nothing_else_from_happening():
    records = Records(
        prepared=True, has=had(sized("500m")), failures={"/resize": Failure("ResizeError", "in use", START, 4)}
    )
    decision = decide(sized("1"), SEEN, records, START + 1)
    assert (decision.step, decision.wake_at) == (None, START + 4)


def conditions(wanted: Pod, records: Records) -> dict[str, str]:
    found = compute(wanted, SEEN, records, START, Host(("10.0.0.1",)))
    return {item["type"]: item.get("reason", "") for item in found["conditions"] if "Resize" in item["type"]}


def test_the_status_says_how_far_a_resize_is():
    before, after = sized("500m"), sized("1")
    assert conditions(after, Records(has=had(after))) == {}
    assert conditions(after, Records(has=had(before))) == {"PodResizeInProgress": ""}
    failed = Records(has=had(before), failures={"/resize": Failure("ResizeError", "in use", START, 4)})
    assert conditions(after, failed) == {"PodResizeInProgress": "Error"}
    pending = resizing.judge(sized("3"), before, ROOM)
    assert conditions(before, Records(has=had(before), pending=pending)) == {"PodResizePending": "Infeasible"}


def test_the_status_shows_what_was_granted_and_what_the_container_has():
    applied = {"app": ResourceList(requests={"cpu": "500m"}, limits={"memory": "64Mi"})}
    found = compute(sized("1"), SEEN, Records(applied=applied), START, Host(("10.0.0.1",)))
    [status] = found["containerStatuses"]
    assert status["allocatedResources"] == {"cpu": "1", "memory": "64Mi"}
    assert status["resources"] == {"requests": {"cpu": "500m"}, "limits": {"memory": "64Mi"}}


SIZES = st.tuples(st.integers(50, 900), st.integers(16, 512))


@given(st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=4))
def test_the_pods_own_group_never_breaks_a_container(sizes: list[tuple[tuple[int, int], tuple[int, int]]]):
    def made(index: int) -> Pod:
        limits = [{"cpu": f"{size[index][0]}m", "memory": f"{size[index][1]}Mi"} for size in sizes]
        return pod(*(app(f"c{number}", resources={"limits": each}) for number, each in enumerate(limits)))

    before, after = made(0), made(1)
    seen = Observed((sandbox(),), tuple(container(spec.name) for spec in before.spec.containers))
    has = {f"{spec.name}-0": resources.of_container(before, spec, 1) for spec in before.spec.containers}
    whole = resizing.meanwhile(after, seen, has)
    for change in resizing.changes(after, seen, has):
        has[change.container_id] = change.wanted
        assert whole.memory is not None
        assert whole.memory >= sum(one.memory_limit for one in has.values())
        whole = resizing.meanwhile(after, seen, has)
    assert whole.memory == resources.of_pod(after).memory_limit
