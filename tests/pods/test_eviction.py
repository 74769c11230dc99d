from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.pods import eviction
from motet.pods.eviction import Amount, State, Threshold, Usage, assess, over_limits, parse, rank, words
from motet.pods.spec import Pod
from support.pods import UID, app, pod

MIB = 1 << 20
HARD = parse("memory.available<100Mi")
SOFT = parse("memory.available<200Mi", grace=60)
DISK = parse("nodefs.available<10%")


def memory(mebibytes: int) -> dict[str, Amount]:
    return {"memory.available": Amount(mebibytes * MIB, 4096 * MIB)}


@pytest.mark.parametrize("text", ["memory.available", "memory.free<1Gi", "memory.available<x", "nodefs.available<100%"])
def test_a_threshold_that_makes_no_sense_is_refused(text: str):
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_plenty_is_no_pressure():
    found = assess((HARD, DISK), {**memory(500), "nodefs.available": Amount(20, 100)}, State(), 0)
    assert (found.pressures, found.short) == (frozenset(), None)


def test_a_hard_threshold_is_acted_upon_at_once():
    found = assess((HARD,), memory(50), State(), 0)
    assert (found.pressures, found.short, found.left.available) == ({"MemoryPressure"}, HARD, 50 * MIB)


def test_a_soft_threshold_only_after_its_grace_period_without_a_break():
    first = assess((SOFT,), memory(150), State(), 0)
    assert (first.pressures, first.short) == ({"MemoryPressure"}, None)
    assert assess((SOFT,), memory(150), first.state, 60).short == SOFT
    better = assess((SOFT,), memory(300), first.state, 30)
    assert assess((SOFT,), memory(150), better.state, 61).short is None


def test_a_condition_outlasts_its_cause():
    first = assess((HARD,), memory(50), State(), 0)
    later = assess((HARD,), memory(500), first.state, 299)
    assert (later.pressures, later.short) == ({"MemoryPressure"}, None)
    assert assess((HARD,), memory(500), later.state, 300).pressures == frozenset()


def test_memory_comes_before_disk():
    found = assess((DISK, HARD), {**memory(50), "nodefs.available": Amount(5, 100)}, State(), 0)
    assert found.short == HARD
    assert found.pressures == {"MemoryPressure", "DiskPressure"}


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 100)), min_size=1, max_size=20))
def test_nothing_is_evicted_while_no_threshold_is_passed(looks: list[tuple[int, int]]):
    state, now = State(), 0.0
    for left, seconds in looks:
        now += seconds
        found = assess((HARD, SOFT), memory(left), state, now)
        assert (found.short is None) or left < 200
        assert left >= 100 or found.short == HARD
        state = found.state


def consumer(name: str, used: int, asked: str = "", priority: int = 0, **fields: Any) -> tuple[Pod, Usage]:
    resources = {"requests": {"memory": asked}} if asked else {}
    wanted = pod(app(resources=resources), name=name, priority=priority, **fields)
    return wanted, Usage(memory=used * MIB, disk=used * MIB, pids=used, containers={"app": used * MIB})


def names(resource: str, *pods: tuple[Pod, Usage]) -> list[str]:
    return [found.metadata.name for found, _ in rank(resource, pods)]


def test_who_uses_more_memory_than_asked_for_goes_first_then_by_priority_then_by_how_much_more():
    assert names(
        "memory",
        consumer("within", 900, "1Gi"),
        consumer("little", 20),
        consumer("much", 200, "100Mi"),
        consumer("dear", 500, priority=10),
    ) == ["much", "little", "dear", "within"]


def test_processes_go_by_priority_and_number():
    assert names("pids", consumer("few", 5), consumer("many", 50), consumer("dear", 500, priority=1)) == [
        "many", "few", "dear",
    ]  # fmt: skip


def test_what_the_cluster_cannot_do_without_stays():
    static = consumer("static", 100, meta={"annotations": {"kubernetes.io/config.hash": UID}})
    assert names("memory", consumer("critical", 100, priority=2_000_000_000), static) == []


def test_the_message_names_the_threshold_and_who_took_more_than_asked():
    found, usage = consumer("web", 30, "10Mi")
    assert words(found, usage, HARD, Amount(80 * MIB, 4096 * MIB)) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 81920Ki. "
        "Container app was using 30720Ki, request is 10Mi, has larger consumption of memory. "
    )


def limited(**limits: str) -> dict[str, Any]:
    return app(resources={"limits": limits})


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(disk=9 * MIB, container_disk={"app": 9 * MIB}), ""),
        (
            Usage(disk=11 * MIB, container_disk={"app": 5 * MIB}),
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
        ),
        (
            Usage(disk=5 * MIB, volumes={"scratch": 5 * MIB}),
            'Usage of EmptyDir volume "scratch" exceeds the limit "4Mi". ',
        ),
        (
            Usage(container_disk={"app": 11 * MIB}),
            'Container app exceeded its local ephemeral storage limit "10Mi". ',
        ),
    ],
)
def test_a_pod_that_uses_more_of_the_disk_than_it_may_is_named(usage: Usage, expected: str):
    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "4Mi"}}]
    wanted = pod(limited(**{"ephemeral-storage": "10Mi"}), volumes=volumes)
    assert over_limits(wanted, usage) == expected


def test_only_pods_with_limits_on_disk_are_looked_at():
    assert not eviction.has_limits(pod(limited(memory="1Gi"), volumes=[{"name": "v", "emptyDir": {}}]))
    assert eviction.has_limits(pod(limited(**{"ephemeral-storage": "1Gi"})))
    assert eviction.has_limits(pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]))


def test_a_threshold_is_a_share_or_a_quantity():
    assert (DISK.limit(1000), HARD.limit(1000)) == (100, 100 * MIB)
    assert Threshold("pid.available", 5).resource == "pids"
