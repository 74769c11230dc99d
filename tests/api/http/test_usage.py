"""The metrics API: agents' figures as upstream's documents, each agent asked once for all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.api.http.conftest import Api
from tests.api.http.test_proxy import FakeNode, there

__all__ = ["there"]

ROOT = "/apis/metrics.k8s.io/v1beta1"
FIGURES: dict[str, float] = {"at": 1_790_000_000.0, "window": 15.0}


@pytest.fixture(autouse=True)
async def told(there: FakeNode) -> None:
    container = {"name": "c", "cpu": 12_345_678, "memory": 64 << 20, **FIGURES}
    used: dict[str, Any] = {
        "node": {"cpu": 500_000_000, "memory": 1 << 30, **FIGURES},
        "pods": [
            {"namespace": "default", "name": "web", "containers": [container]},
            {"namespace": "default", "name": "gone", "containers": [container]},
        ],
    }
    body = json.dumps(used).encode()
    there.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_pods_have_what_their_containers_use(api: Api) -> None:
    code, found = await api.ask("GET", f"{ROOT}/namespaces/default/pods")
    assert (code, found["kind"]) == (200, "PodMetricsList")
    [pod] = found["items"]
    assert (pod["metadata"]["name"], pod["window"]) == ("web", "15.000s")
    assert pod["containers"] == [{"name": "c", "usage": {"cpu": "12345678n", "memory": "65536Ki"}}]


async def test_one_can_be_asked_by_name(api: Api) -> None:
    code, node = await api.ask("GET", f"{ROOT}/nodes/n1")
    assert (code, node["kind"], node["usage"]) == (200, "NodeMetrics", {"cpu": "500000000n", "memory": "1048576Ki"})
    code, status = await api.ask("GET", f"{ROOT}/namespaces/default/pods/gone")
    assert (code, status["message"]) == (404, 'podmetrics.metrics.k8s.io "default/gone" not found')


async def test_selectors_choose_by_the_labels_of_the_pod(api: Api) -> None:
    patch = {"Content-Type": "application/merge-patch+json"}
    pod = "/api/v1/namespaces/default/pods/web"
    await api.ask("PATCH", pod, {"metadata": {"labels": {"app": "web"}}}, headers=patch)
    for selector, expected in (("app=web", ["web"]), ("app=other", [])):
        _, found = await api.ask("GET", f"{ROOT}/pods?labelSelector={selector}")
        assert [item["metadata"]["name"] for item in found["items"]] == expected


async def test_an_agent_is_asked_once_for_many_questions(api: Api, there: FakeNode) -> None:
    for path in ("nodes", "pods", "namespaces/default/pods"):
        assert (await api.ask("GET", f"{ROOT}/{path}"))[0] == 200
    assert there.asked == ["/usage"]


async def test_an_agent_that_does_not_answer_is_left_out(api: Api, there: FakeNode) -> None:
    there.answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    assert (await api.ask("GET", f"{ROOT}/nodes"))[1]["items"] == []


async def test_it_can_only_be_read_and_not_by_everybody(api: Api) -> None:
    assert (await api.ask("POST", f"{ROOT}/nodes", {}))[0] == 405
    assert (await api.ask("GET", f"{ROOT}/nodes", who="stranger"))[0] == 403
    assert (await api.ask("GET", f"{ROOT}/others"))[0] == 404


async def test_kubectl_top_shows_it(api: Api) -> None:
    assert (await api.kubectl("top", "pods", "--no-headers")).split() == ["web", "13m", "64Mi"]
    assert "web" in await api.kubectl("top", "pods", "-A", "--containers")
