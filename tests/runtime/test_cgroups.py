import asyncio

import pytest

from motet.base.clock import FakeClock
from motet.runtime import cgroups
from motet.runtime.cgroups import Cgroups, Limits, Usage
from motet.runtime.interface import RuntimeFailure

GROUP = "/motet/pods/pod1"


@pytest.fixture
def v1(tmp_path):
    """A directory shaped like version 1's hierarchies, with the files a new group would have."""
    for controller in ("cpu", "cpuacct", "memory", "pids", "blkio", "freezer", "systemd"):
        (tmp_path / controller).mkdir()
    return tmp_path


@pytest.fixture
def v2(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma")
    return tmp_path


def test_the_version_is_told_by_the_root(tmp_path):
    assert Cgroups(tmp_path).version == 1
    (tmp_path / "cgroup.controllers").touch()
    assert Cgroups(tmp_path).version == 2


def test_version_1_limits_go_to_their_controllers(v1):
    Cgroups(v1).create(GROUP, Limits(cpu_shares=512, cpu_quota=25_000, memory=1 << 20, pids=10))
    read = lambda name: (v1 / name.split("/")[0] / GROUP[1:] / name.split("/")[1]).read_text()  # noqa: E731
    assert read("cpu/cpu.shares") == "512"
    assert (read("cpu/cpu.cfs_quota_us"), read("cpu/cpu.cfs_period_us")) == ("25000", "100000")
    assert read("memory/memory.limit_in_bytes") == "1048576"
    assert read("pids/pids.max") == "10"


def test_version_2_limits_are_translated_and_controllers_passed_down(v2):
    Cgroups(v2).create(GROUP, Limits(cpu_shares=1024, cpu_quota=25_000, memory=1 << 20, pids=10))
    group = v2 / GROUP[1:]
    assert (group / "cpu.weight").read_text() == "39"
    assert (group / "cpu.max").read_text() == "25000 100000"
    assert (group / "memory.max").read_text() == "1048576"
    assert (group / "pids.max").read_text() == "10"
    for ancestor in (v2, v2 / "motet", v2 / "motet/pods"):
        assert (ancestor / "cgroup.subtree_control").read_text() == "+cpu +cpuset +io +memory +pids"
    # A group with processes may not pass controllers down.
    assert not (group / "cgroup.subtree_control").exists()


@pytest.mark.parametrize(("limits", "file", "text"), [
    (Limits(memory=0), "memory.max", "max"),
    (Limits(cpu_quota=0), "cpu.max", "max 100000"),
    (Limits(pids=0), "pids.max", "max"),
])  # fmt: skip
def test_zero_lifts_a_limit(v2, limits, file, text):
    Cgroups(v2).create(GROUP, limits)
    assert (v2 / GROUP[1:] / file).read_text() == text


def test_a_limit_that_is_not_named_stays_as_it_is(v2):
    groups = Cgroups(v2)
    groups.create(GROUP, Limits(pids=10))
    groups.create(GROUP, Limits(memory=4096))
    assert (v2 / GROUP[1:] / "pids.max").read_text() == "10"


def test_version_1_usage_is_gathered_from_its_controllers(v1):
    groups = Cgroups(v1)
    groups.create(GROUP)
    write = lambda name, text: (v1 / name.split("/")[0] / GROUP[1:] / name.split("/")[1]).write_text(text)  # noqa: E731
    write("cpuacct/cpuacct.usage", "12345\n")
    write("memory/memory.usage_in_bytes", "1000\n")
    write("memory/memory.stat", "cache 5\ntotal_inactive_file 400\n")
    write("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    write("pids/pids.current", "3\n")
    write("cpu/cpu.stat", "nr_periods 1\nthrottled_time 77\n")
    assert groups.usage(GROUP) == Usage(cpu=12345, memory=1000, working_set=600, pids=3, oom_kills=2, throttled=77)


def test_version_2_usage_is_in_the_same_units(v2):
    groups = Cgroups(v2)
    groups.create(GROUP)
    for name, text in {
        "cgroup.procs": "",
        "cpu.stat": "usage_usec 12\nthrottled_usec 3\n",
        "memory.current": "1000\n",
        "memory.stat": "inactive_file 400\n",
        "memory.events": "oom 1\noom_kill 2\n",
        "pids.current": "3\n",
    }.items():
        (v2 / GROUP[1:] / name).write_text(text)
    assert groups.usage(GROUP) == Usage(cpu=12_000, memory=1000, working_set=600, pids=3, oom_kills=2, throttled=3000)


def test_a_group_that_is_not_there_has_no_usage(v1):
    assert Cgroups(v1).usage(GROUP) is None


async def test_removal_takes_all_hierarchies_and_everything_below(v1):
    groups = Cgroups(v1)
    groups.create(f"{GROUP}/container")
    # The runtime makes the group in hierarchies that Motet does not write to.
    (v1 / "systemd" / GROUP[1:] / "container").mkdir(parents=True)
    await groups.remove(GROUP)
    assert not groups.exists(GROUP)
    assert groups.exists("/motet/pods")
    await groups.remove(GROUP)


async def test_a_group_that_stays_in_use_is_named(v1):
    groups = Cgroups(v1)
    groups.create(GROUP)
    # rmdir(2) says ENOTEMPTY here as it says EBUSY of a group with processes.
    (v1 / "cpu" / GROUP[1:] / "occupant").touch()
    clock = FakeClock()
    removing = asyncio.create_task(groups.remove(GROUP, clock=clock))
    await clock.advance(6)
    with pytest.raises(RuntimeFailure, match="pod1"):
        await removing


def test_children_are_gathered_over_hierarchies(v1):
    groups = Cgroups(v1)
    groups.create("/motet/pods/a")
    (v1 / "freezer/motet/pods/b").mkdir(parents=True)
    assert groups.children("/motet/pods") == {"a", "b"}


@pytest.mark.parametrize(("shares", "expected"), [(2, 1), (1024, 39), (262_144, 10_000), (0, 1), (10**9, 10_000)])
def test_shares_become_weight(shares, expected):
    assert cgroups.weight(shares) == expected


def test_an_unwritable_root_is_reported(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "motet").write_text("in the way")
    with pytest.raises(RuntimeFailure, match="cannot set up control group"):
        Cgroups(tmp_path).create(GROUP)
