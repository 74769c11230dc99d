"""Nodes are told of what their pods use."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.api.http.conftest import Api

PATH = "/motet/v1/changes"
MAPS, SECRETS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/secrets"


async def made(api: Api, path: str, name: str, **parts: Any) -> None:
    code, answer = await api.ask("POST", path, {"metadata": {"name": name}, **parts})
    assert code == 201, answer


async def pod_on_node(api: Api, *volumes: dict[str, Any]) -> None:
    await made(api, "/api/v1/nodes", "n1")
    await made(api, "/api/v1/namespaces/default/serviceaccounts", "default")
    spec = {
        "nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": list(volumes),
        "automountServiceAccountToken": False,
    }
    await made(api, "/api/v1/namespaces/default/pods", "p", spec=spec)


async def told(lines: asyncio.StreamReader | Any) -> list[list[str]]:
    line = await asyncio.wait_for(lines.readline(), 10)
    return sorted(json.loads(line)["changed"])


async def test_a_node_hears_of_changes_of_what_its_pods_use_and_of_nothing_else(api: Api) -> None:
    volumes = (
        {"name": "m", "configMap": {"name": "used"}},
        {"name": "s", "projected": {"sources": [{"secret": {"name": "hidden"}}]}},
    )
    await pod_on_node(api, *volumes)
    async with api.session("node") as session, session.get(PATH) as answer:
        assert await told(answer.content) == []
        await made(api, MAPS, "unused", data={"a": "1"})
        await made(api, SECRETS, "hidden", stringData={"a": "1"})
        await made(api, MAPS, "used", data={"a": "1"})
        heard = await told(answer.content)
        while len(heard) < 2:
            heard = sorted([*heard, *await told(answer.content)])
        assert heard == [["configmaps", "default", "used"], ["secrets", "default", "hidden"]]
        for _ in range(5):
            await api.ask("PATCH", f"{MAPS}/used", {"data": {"a": "2"}}, headers=MERGE)
        assert await told(answer.content) == [["configmaps", "default", "used"]]
        await api.ask("DELETE", f"{MAPS}/used")
        assert await told(answer.content) == [["configmaps", "default", "used"]]


MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.mark.parametrize(("who", "code"), [("admin", 403), ("stranger", 403), ("", 401)])
async def test_it_is_for_nodes_only(api: Api, who: str, code: int) -> None:
    assert (await api.ask("GET", PATH, who=who))[0] == code
    assert (await api.ask("POST", PATH, {}, who="node"))[0] == 405
