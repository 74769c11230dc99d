"""Pages in browsers show their token as a sub-protocol of a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json

import aiohttp
import pytest
from tests.api.http.conftest import Api
from tests.api.http.test_streams import POD, FakeAgent, agent

from motet.api.http.socketbearer import taken
from motet.base.errors import Unauthorized

__all__ = ["agent"]

PREFIX = "base64url.bearer.authorization.k8s.io."
MAPS = "/api/v1/namespaces/default/configmaps"


def shown(token: str) -> str:
    return PREFIX + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


@pytest.mark.parametrize("token", ["a", "ab", "abc", "e30.e30.~~~???"])
def test_the_token_is_taken_off_and_the_rest_stays_in_order(token: str) -> None:
    assert taken([f"v5.channel.k8s.io, {shown(token)}", "v4.channel.k8s.io"]) == (
        token,
        ["v5.channel.k8s.io", "v4.channel.k8s.io"],
    )


def test_without_a_token_nothing_changes() -> None:
    assert taken(["b, a"]) == ("", ["b", "a"])
    assert taken([]) == ("", [])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (shown("secret"), "another sub-protocol"),
        (f"x, {shown('secret')}, {shown('secret')}", "more than one"),
        (f"x, {PREFIX}", "cannot be read"),
        (f"x, {PREFIX}c2VjcmV0==", "cannot be read"),
        (f"x, {PREFIX}c2Vj+mV0", "cannot be read"),
        ("x, " + shown("secret\nmore"), "cannot be read"),
    ],
)
def test_what_is_not_one_token_beside_a_protocol_is_refused_without_repeating_it(value: str, why: str) -> None:
    with pytest.raises(Unauthorized, match=why) as told:
        taken([value])
    assert "c2Vj" not in told.value.message
    assert "secret" not in told.value.message


async def reader(api: Api) -> str:
    """The token of an account that may watch config maps and run commands."""
    await api.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "page"}})
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    ]
    await api.ask("POST", f"{rbac}/roles", {"metadata": {"name": "see"}, "rules": rules})
    binding = {
        "metadata": {"name": "see"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "see"},
        "subjects": [{"kind": "ServiceAccount", "name": "page", "namespace": "default"}],
    }
    await api.ask("POST", f"{rbac}/rolebindings", binding)
    _, answer = await api.ask("POST", "/api/v1/namespaces/default/serviceaccounts/page/token", {"spec": {}})
    return str(answer["status"]["token"])


async def test_a_page_watches_with_its_token_and_has_its_other_protocol_chosen(api: Api) -> None:
    token = await reader(api)
    await api.ask("POST", MAPS, {"metadata": {"name": "one"}})
    async with api.session("") as session, asyncio.timeout(10):
        protocols = (shown(token), "watch.example.com")
        async with session.ws_connect(f"{MAPS}?watch=true", protocols=protocols) as socket:
            assert socket.protocol == "watch.example.com"
            assert json.loads(await socket.receive_str())["object"]["metadata"]["name"] == "one"
        with pytest.raises(aiohttp.WSServerHandshakeError) as told:
            await session.ws_connect("/api/v1/namespaces/default/secrets?watch=true", protocols=protocols)
        assert told.value.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as told:
            await session.ws_connect(f"{MAPS}?watch=true", protocols=(shown("wrong"), "x"))
        assert told.value.status == 401


async def test_only_a_websocket_may_show_its_token_so(api: Api) -> None:
    headers = {"Sec-WebSocket-Protocol": f"{shown(await reader(api))}, x"}
    code, _ = await api.ask("GET", f"{MAPS}?watch=true&timeoutSeconds=1", who="", headers=headers)
    assert code == 401


async def test_the_token_of_a_command_does_not_travel_to_the_agent(api: Api, agent: FakeAgent) -> None:
    token = await reader(api)
    async with api.session("") as session, asyncio.timeout(10):
        with pytest.raises(aiohttp.WSServerHandshakeError) as told:
            await session.ws_connect(f"{POD}/exec?command=refuse", protocols=(shown(token), "v5.channel.k8s.io"))
    assert told.value.status == 404  # which is what the agent says
    (head,) = agent.heads
    assert "Sec-WebSocket-Protocol: v5.channel.k8s.io" in head
    assert not any("bearer" in line.lower() for line in head)
