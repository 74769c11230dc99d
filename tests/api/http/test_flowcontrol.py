"""Flow control as a client sees it: headers, refusals, and others that get on meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.api.http.conftest import Api

from motet.api.flowcontrol import bootstrap
from motet.api.flowcontrol.control import FlowControl, Match
from motet.api.http.objects import Objects

LEVELS = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
SCHEMAS = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
FLOW, LEVEL = "X-Kubernetes-PF-FlowSchema-UID", "X-Kubernetes-PF-PriorityLevel-UID"


async def uid(api: Api, path: str) -> str:
    code, found = await api.ask("GET", path)
    assert code == 200, found
    return str(found["metadata"]["uid"])


async def headers(session: aiohttp.ClientSession, path: str) -> tuple[str, str]:
    async with session.get(path) as answer:
        return answer.headers[FLOW], answer.headers[LEVEL]


async def test_answers_tell_where_the_request_was_seated(api: Api) -> None:
    await bootstrap.ensure(api.registry)
    admin = await uid(api, f"{SCHEMAS}/exempt"), await uid(api, f"{LEVELS}/exempt")
    node = await uid(api, f"{SCHEMAS}/system-node-high"), await uid(api, f"{LEVELS}/node-high")
    async with api.session() as session:
        for path in ("/api/v1/pods", "/api/v1/pods?watch=true&timeoutSeconds=1", "/api/v1/nodes/none", "/version"):
            assert await headers(session, path) == admin
    async with api.session("node") as session:
        assert await headers(session, "/api/v1/nodes/n1") == node


async def test_kubectl_shows_them(api: Api) -> None:
    await bootstrap.ensure(api.registry)
    shown = await api.kubectl("get", "flowschemas")
    assert shown.splitlines()[0].split() == [
        "NAME", "PRIORITYLEVEL", "MATCHINGPRECEDENCE", "DISTINGUISHERMETHOD", "AGE", "MISSINGPL"
    ]  # fmt: skip
    assert shown.splitlines()[1].split()[:4] == ["catch-all", "catch-all", "10000", "ByUser"]
    assert "Exempt" in await api.kubectl("get", "prioritylevelconfigurations", "exempt")


async def test_nodes_and_leases_get_on_while_a_crowd_waits(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await bootstrap.ensure(api.registry)
    queuing = {"queues": 1, "handSize": 1, "queueLengthLimit": 100}
    limited = {"borrowingLimitPercent": 0, "limitResponse": {"type": "Queue", "queuing": queuing}}
    patch = {"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}}, "spec": {"limited": limited}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (await api.ask("PATCH", f"{LEVELS}/global-default", patch, headers=merge))[0] == 200
    everything = {
        "metadata": {"name": "eve"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert (await api.ask("POST", path, everything))[0] == 201
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    held = asyncio.Event()
    real = type(api.registry).get

    async def slow(self: Any, kind: Any, *arguments: Any, **options: Any) -> Any:
        if kind.plural == "configmaps":
            await held.wait()
        return await real(self, kind, *arguments, **options)

    monkeypatch.setattr(type(api.registry), "get", slow)
    async with api.session("stranger") as session:

        async def noise() -> tuple[int, str]:
            async with session.get("/api/v1/namespaces/default/configmaps/none") as answer:
                return answer.status, answer.headers.get("Retry-After", "")

        session.connector._limit = 0  # type: ignore[union-attr]
        flood = [asyncio.create_task(noise()) for _ in range(200)]
        flows = api.server.flows
        while flows.room.lines["global-default"].waiting < 100 or flows.refused.total() < 51:
            await asyncio.sleep(0.01)
        lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
        assert (await api.ask("POST", path, lease, who="node"))[0] == 201
        assert (await api.ask("PUT", f"{path}/n1", lease, who="node"))[0] == 200
        metrics = (await api.ask("GET", "/metrics"))[1]  # an administrator waits for nobody
        held.set()
        answers = await asyncio.gather(*flood)
    assert 'apiserver_flowcontrol_nominal_limit_seats{priority_level="global-default"} 49' in metrics
    assert 'apiserver_flowcontrol_current_inqueue_requests{priority_level="global-default"} 100' in metrics
    assert sorted(set(answers)) == [(404, ""), (429, "1")]
    assert answers.count((429, "1")) == 51


@pytest.fixture
def widths(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many seats each request asks for, in a cluster that has 3000 objects of every kind."""
    asked: list[int] = []
    real = FlowControl.take

    async def take(self: FlowControl, match: Match, width: int = 1) -> int:
        asked.append(width)
        return await real(self, match, width)

    monkeypatch.setattr(FlowControl, "take", take)
    monkeypatch.setattr(Objects, "size", lambda self, catalogue, target: 3000)
    return asked


async def sent(api: Api, method: str, path: str) -> None:
    """Ask, whatever the answer is."""
    body = b'{"metadata": {"name": "m"}}' if method in ("POST", "PUT") else None
    async with (
        api.session() as session,
        session.request(method, path, data=body, headers={"Content-Type": "application/json"}) as answer,
    ):
        await answer.read()


@pytest.mark.parametrize(
    ("query", "width"),
    [
        ("", 6),
        ("?limit=0", 6),
        ("?limit=1000000", 6),
        ("?limit=" + "9" * 5000, 6),
        ("?limit=-1", 6),
        ("?limit=x", 6),
        ("?limit=500", 1),
        ("?limit=501", 2),
        ("?limit=2000&continue=none", 4),
        ("/name?limit=0", 1),
    ],
)
async def test_a_list_is_as_wide_as_what_it_reads(api: Api, widths: list[int], query: str, width: int) -> None:
    for method in ("GET", "HEAD"):
        await sent(api, method, f"/api/v1/namespaces/default/configmaps{query}")
    assert widths == [width, width]


@pytest.mark.parametrize(
    ("method", "path", "seats"),
    [
        ("POST", "/api/v1/namespaces/default/configmaps?watch=1", [1]),
        ("PUT", "/api/v1/namespaces/default/configmaps/m?watch=true", [1]),
        ("POST", "/api/v1/watch/namespaces/default/configmaps", [1]),
        ("DELETE", "/api/v1/namespaces/default/configmaps/m?watch=1", [1]),
        ("GET", "/version?watch=1", [1]),
        ("GET", "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1", []),
        ("GET", "/api/v1/watch/namespaces/default/configmaps?timeoutSeconds=1", []),
        ("GET", "/api/v1/namespaces/default/configmaps?watch=false&limit=5", [1]),
    ],
)
async def test_only_what_is_read_can_be_watched_without_a_seat(
    api: Api, widths: list[int], method: str, path: str, seats: list[int]
) -> None:
    await sent(api, method, path)
    assert widths == seats
