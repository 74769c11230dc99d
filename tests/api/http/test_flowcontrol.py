"""Flow control as a client sees it: headers, refusals, and others that get on meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.api.http.conftest import Api

from motet.api.flowcontrol import bootstrap

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
