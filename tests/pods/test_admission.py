from __future__ import annotations

from typing import Any

import pytest

from motet.pods.admission import Neighbours, refusal
from motet.pods.resizing import Room
from support.pods import app, pod

ROOM = Room(cpu=2000, memory=4 << 30, cpu_used=1500, memory_used=1 << 30)


def reason(*containers: dict[str, Any], neighbours: Neighbours = Neighbours(ROOM), **spec: Any) -> str:
    found = refusal(pod(*containers, **spec), neighbours, ("kernel.msg*",))
    return found.reason if found is not None else ""


def asking(**requests: str) -> dict[str, Any]:
    return app(resources={"requests": requests})


def test_a_pod_that_fits_is_taken():
    assert reason(asking(cpu="500m", memory="3Gi")) == ""


@pytest.mark.parametrize(
    ("requests", "expected"), [({"cpu": "501m"}, "OutOfcpu"), ({"memory": "3073Mi"}, "OutOfmemory")]
)
def test_a_pod_that_does_not_fit_is_not(requests: dict[str, str], expected: str):
    assert reason(asking(**requests)) == expected


def test_a_pod_that_asks_for_nothing_fits_on_a_node_that_is_more_than_full():
    assert reason(neighbours=Neighbours(Room(1000, 1, cpu_used=2000, memory_used=2))) == ""


def test_the_message_says_what_was_lacking():
    found = refusal(pod(asking(cpu="600m")), Neighbours(ROOM), ())
    assert found is not None
    assert found.message == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000"
    )


def test_a_node_takes_no_more_pods_than_it_may_run():
    assert reason(neighbours=Neighbours(ROOM, pods=110, most=110)) == "OutOfpods"


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (("TCP", "", 80), "NodePorts"),
        (("TCP", "10.0.0.1", 80), "NodePorts"),
        (("UDP", "", 80), ""),
        (("TCP", "", 81), ""),
    ],
)
def test_a_port_of_the_node_is_taken_once(taken: tuple[str, str, int], expected: str):
    wants = app(ports=[{"containerPort": 8080, "hostPort": 80, "hostIP": "0.0.0.0"}])
    assert reason(wants, neighbours=Neighbours(ROOM, ports=[taken])) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net.ipv4.ip_local_port_range", ""),
        ("net/ipv4/tcp_syncookies", ""),
        ("kernel.msgmax", ""),
        ("kernel.shmmax", "SysctlForbidden"),
        ("net.core.somaxconn", "SysctlForbidden"),
    ],
)
def test_only_safe_and_allowed_sysctls_may_be_set(name: str, expected: str):
    assert reason(securityContext={"sysctls": [{"name": name, "value": "1"}]}) == expected
