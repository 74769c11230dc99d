from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec

from motet.agent import stats
from motet.agent.machine import Disk, Load
from motet.agent.sampling import NODE, Look, Owner, Reading, rate
from motet.agent.volumestats import VolumeStats
from motet.base.clock import FakeClock
from motet.pods.csi.volumes import VolumeUsage
from motet.pods.spec import Pod
from motet.runtime.csi import Usage

NANO = 1_000_000_000
WEB = Owner("default", "web", "u1")
APP = Owner("default", "web", "u1", "app")


def look(at: float, cpu: float, memory: int = 64 << 20, *, started: float = 0) -> Look:
    """One pod with one container that has used `cpu` seconds, on a node that has used ten times that."""
    reading = Reading(int(cpu * NANO), memory)
    return Look(
        at, Reading(10 * reading.cpu, 1 << 30), {"u1": reading, "c1": reading}, {"u1": WEB, "c1": APP}, {"c1": started}
    )


def test_a_rate_is_between_two_looks():
    used = rate("c1", look(30, 6), look(20, 1))
    assert used is not None
    assert (used.cpu, used.memory, used.window) == (NANO // 2, 64 << 20, 10)


def test_a_young_container_has_a_rate_since_its_start():
    used = rate("c1", look(30, 2, started=26), None)
    assert used is not None
    assert (used.cpu, used.window) == (NANO // 2, 4)


def test_a_moment_is_too_short_for_a_rate():
    assert rate("c1", look(30, 2, started=29.5), None) is None
    assert rate("u1", look(30, 2), None) is None


def test_a_counter_that_went_back_is_a_container_started_anew():
    used = rate("c1", look(30, 1, started=28), look(20, 50))
    assert used is not None
    assert used.cpu == NANO // 2


def test_managers_get_all_containers_of_the_node_at_once():
    found = stats.usage(look(30, 6), look(20, 1))
    assert found["node"]["cpu"] == 5 * NANO
    [pod] = found["pods"]
    assert (pod["namespace"], pod["name"]) == ("default", "web")
    [container] = pod["containers"]
    assert (container["name"], container["cpu"], container["memory"]) == ("app", NANO // 2, 64 << 20)


def test_the_summary_has_the_kubelets_shape():
    found = stats.summary("n1", look(30, 6), look(20, 1), Load(2 << 30, 4 << 30, 100, 32768), Disk(5, 10, 6, 20))
    assert found["node"]["cpu"]["usageNanoCores"] == 5 * NANO
    assert found["node"]["fs"]["usedBytes"] == 5
    assert found["node"]["memory"]["availableBytes"] == 2 << 30
    [pod] = found["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": "u1"}
    assert pod["containers"][0]["memory"]["workingSetBytes"] == 64 << 20


def test_the_resource_metrics_are_prometheus_text():
    lines = stats.resource_metrics(look(30, 6)).splitlines()
    labels = '{container="app",namespace="default",pod="web"}'
    assert f"container_cpu_usage_seconds_total{labels} 6 30000" in lines
    assert 'pod_memory_working_set_bytes{namespace="default",pod="web"} 67108864 30000' in lines
    assert "node_cpu_usage_seconds_total 60 30000" in lines
    assert "resource_scrape_error 0" in lines
    assert NODE == ""


def test_the_summary_tells_of_networks_and_volumes():
    counters = {"rx_bytes": 10, "rx_errors": 1, "tx_bytes": 20, "tx_errors": 0}
    now = replace(look(30, 6), networks={"u1": {"eth0": counters}, NODE: {"bond0": counters, "eth1": counters}})
    volumes = {"u1": [{"name": "data", "usedBytes": 5, "pvcRef": {"name": "c", "namespace": "default"}}]}
    found = stats.summary("n1", now, None, Load(2 << 30, 4 << 30, 100, 32768), Disk(5, 10, 6, 20), volumes)
    network = found["pods"][0]["network"]
    assert (network["name"], network["rxBytes"], network["txErrors"]) == ("eth0", 10, 0)
    assert [each["name"] for each in network["interfaces"]] == ["eth0"]
    assert "rxBytes" not in found["node"]["network"]  # which of the two everything goes by is not known
    assert [each["name"] for each in found["node"]["network"]["interfaces"]] == ["bond0", "eth1"]
    [volume] = found["pods"][0]["volume"]
    assert (volume["name"], volume["usedBytes"], volume["time"]) == ("data", 5, found["node"]["fs"]["time"])


def pod(**volumes: object) -> Pod:
    body = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"containers": [], "volumes": [{"name": name, **source} for name, source in volumes.items()]},
    }
    return msgspec.convert(body, Pod)


class Volumes:
    """Directories below one, and a driver that knows of one volume."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.looked = 0

    def at(self, pod: Pod, name: str) -> Path:
        return self.root / name

    async def usage(self, uid: str) -> list[VolumeUsage]:
        self.looked += 1
        return [VolumeUsage("disk", "claim", Usage(total_bytes=100, used_bytes=40, available_bytes=None))]


async def test_volumes_are_looked_at_once_a_minute(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "x").write_bytes(b"x" * 10_000)
    volumes, clock = Volumes(tmp_path), FakeClock()
    figures = VolumeStats(SimpleNamespace(volumes=volumes), clock)  # type: ignore[arg-type]
    web = pod(
        scratch={"emptyDir": {}},
        disk={"persistentVolumeClaim": {"claimName": "claim"}},
        gone={"configMap": {"name": "m"}},
        host={"hostPath": {"path": "/"}},
    )
    found = {each["name"]: each for each in (await figures.of([web]))["u1"]}
    assert set(found) == {"scratch", "disk"}
    assert found["disk"] == {
        "name": "disk",
        "capacityBytes": 100,
        "usedBytes": 40,
        "pvcRef": {"name": "claim", "namespace": "default"},
    }
    assert found["scratch"]["usedBytes"] >= 10_000
    assert found["scratch"]["inodesUsed"] == 2
    assert found["scratch"]["capacityBytes"] > found["scratch"]["availableBytes"]
    await figures.of([web])
    assert volumes.looked == 1
    await clock.advance(61)
    await figures.of([web])
    assert volumes.looked == 2
    assert not await figures.of([])
