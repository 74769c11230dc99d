"""Another server's API through ours: found, asked with the caller's name, watched, upgraded, and missed when it is away."""

from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp
import pytest
from tests.api.aggregation.conftest import API_SERVICES, Choir
from tests.support.extension import BASE, GROUP

from motet.base.errors import ApiError, NotFound
from motet.controllers import elsewhere

VOICES = f"{BASE}/namespaces/default/voices"
ALTO = {"apiVersion": f"{GROUP}/v1", "kind": "Voice", "metadata": {"name": "alto"}, "range": "f-d"}
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}


async def test_requests_reach_the_other_server_and_its_answers_come_back(choir: Choir) -> None:
    await choir.register()
    await choir.ask("POST", VOICES, ALTO, code=201)
    assert (await choir.ask("GET", f"{VOICES}/alto"))["range"] == "f-d"
    assert (await choir.ask("GET", f"{VOICES}/bass", code=404))["message"] == "no such voice"


async def test_the_other_server_is_told_who_asks_and_clients_cannot_say_it_themselves(choir: Choir) -> None:
    await choir.register()
    posing = {
        "X-Remote-User": "somebody",
        "X_Remote_Group": "system:masters",
        "X-Remote-Extra-Scopes": "all",
        "Impersonate-User": "eve",
        "Impersonate-Group": "singers",
        "Impersonate-Extra-Choir%2fpart": "alto",
    }
    await choir.ask("GET", f"{VOICES}/alto", headers=posing, code=403)
    rule = {"apiGroups": [GROUP], "resources": ["voices"], "verbs": ["get"]}
    await choir.ask("POST", RBAC + "clusterroles", {"metadata": {"name": "listen"}, "rules": [rule]}, code=201)
    binding = {
        "metadata": {"name": "listen"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "listen"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "singers"}],
    }
    await choir.ask("POST", RBAC + "clusterrolebindings", binding, code=201)
    await choir.ask("GET", f"{VOICES}/alto", headers=posing, code=404)
    sent = choir.extension.headers(f"{VOICES}/alto")
    said = [(name, value) for name, value in sent if "remote" in name.lower().replace("_", "-")]
    assert said == [
        ("X-Remote-User", "eve"),
        ("X-Remote-Group", "singers"),
        ("X-Remote-Group", "system:authenticated"),
        ("X-Remote-Extra-choir%2Fpart", "alto"),
    ]
    assert not any(name.lower().startswith("impersonate") or name == "Authorization" for name, _ in sent)


RBAC = "/apis/rbac.authorization.k8s.io/v1/"


async def test_nobody_without_the_front_proxys_certificate_is_let_in(choir: Choir) -> None:
    for who in ("admin", ""):
        context = choir.api.pki.client(who) if who else ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://localhost:{choir.extension.port}{BASE}", ssl=context)
    # And ours is no certificate to come to our own door with.
    context = ssl.create_default_context(cadata=choir.api.pki.authority.pem.decode())
    context.load_cert_chain(*choir.api.pki.proxy)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{choir.api.url}/api/v1/pods", ssl=context, headers={"X-Remote-User": "admin"})


async def test_extension_servers_can_read_whom_to_believe(choir: Choir) -> None:
    found = await choir.ask("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
    data = found["data"]
    assert data["client-ca-file"] == choir.api.pki.authority.pem.decode()
    assert data["requestheader-client-ca-file"] == choir.api.pki.front_proxy.pem.decode()
    assert json.loads(data["requestheader-allowed-names"]) == ["front-proxy-client"]
    assert json.loads(data["requestheader-extra-headers-prefix"]) == ["X-Remote-Extra-"]


async def test_a_watch_comes_through_as_it_happens(choir: Choir) -> None:
    await choir.register()
    async with choir.api.session() as session, session.get(f"{VOICES}?watch=true") as watch, asyncio.timeout(5):
        await choir.ask("POST", VOICES, ALTO, code=201)
        assert json.loads(await watch.content.readline())["object"]["range"] == "f-d"


async def test_an_upgraded_connection_comes_through(choir: Choir) -> None:
    await choir.register()
    async with choir.api.session() as session, asyncio.timeout(5):
        socket = await session.ws_connect(f"{VOICES}/alto/sing")
        await socket.send_str("luia")
        assert await socket.receive_str() == "la luia"
        await socket.close()
    said = choir.extension.headers(f"{VOICES}/alto/sing")
    assert ("X-Remote-User", "admin") in said


async def test_discovery_and_openapi_have_both(choir: Choir) -> None:
    await choir.register()
    groups = [each["name"] for each in (await choir.ask("GET", "/apis"))["groups"]]
    assert groups.index("apps") < groups.index(GROUP)
    assert (await choir.ask("GET", f"/apis/{GROUP}"))["preferredVersion"]["version"] == "v1"
    assert (await choir.ask("GET", BASE))["resources"][0]["name"] == "voices"
    found = await choir.ask("GET", "/apis", headers=AGGREGATED)
    version = next(each for each in found["items"] if each["metadata"]["name"] == GROUP)["versions"][0]
    assert version["freshness"] == "Current"
    assert [each["subresource"] for each in version["resources"][0]["subresources"]] == ["sing"]
    swagger = await choir.ask("GET", "/openapi/v2")
    path = swagger["paths"][BASE + "/namespaces/{namespace}/voices"]
    assert path["parameters"][0]["name"] == "namespace"
    voice = swagger["definitions"]["com.example.choir.v1.Voice"]
    # What both call by one name is not the same.
    assert voice["properties"]["metadata"]["$ref"].endswith("ObjectMeta_v2")
    assert "/version/" not in swagger["paths"]
    index = await choir.ask("GET", "/openapi/v3")
    assert (await choir.ask("GET", index["paths"][BASE[1:]]["serverRelativeURL"]))["info"]["title"] == "choir"


async def test_kubectl_sees_no_difference(choir: Choir) -> None:
    await choir.register()
    await choir.api.kubectl("create", "-f", "-", "--validate=strict", stdin=json.dumps(ALTO))
    assert "alto" in await choir.api.kubectl("get", "vo", "-o", "name")
    assert "range" in await choir.api.kubectl("explain", "voices", "--output=plaintext-openapiv2")
    assert "music/voices   True" in await choir.api.kubectl("get", "apiservice", f"v1.{GROUP}", "--no-headers")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"service": {"namespace": "music", "name": "silence"}}, "ServiceNotFound"),
        ({"caBundle": ""}, "FailedDiscoveryCheck"),
        ({"service": {"namespace": "music", "name": "voices", "port": 1}}, "FailedDiscoveryCheck"),
    ],
)
async def test_a_server_that_cannot_be_asked_is_unavailable_and_so_is_its_api(
    choir: Choir, spec: dict, reason: str
) -> None:
    await choir.ask("POST", API_SERVICES, choir.extension.api_service(**spec), code=201)
    told = await choir.until("False", reason)
    refused = await choir.ask("GET", VOICES, code=503)
    assert told["message"] in refused["message"]
    assert f"v1.{GROUP}" in refused["message"]
    # Everything else goes on, and discovery says that this part is not of now.
    found = await choir.ask("GET", "/apis", headers=AGGREGATED)
    stale = [each["metadata"]["name"] for each in found["items"] if each["versions"][0]["freshness"] == "Stale"]
    assert stale == [GROUP]


async def test_a_certificate_can_be_left_unverified_when_asked_to(choir: Choir) -> None:
    await choir.register(caBundle=None, insecureSkipTLSVerify=True)
    await choir.ask("GET", VOICES)


async def test_a_redirect_goes_nowhere(choir: Choir) -> None:
    await choir.register()
    choir.extension.always = (307, {"Location": "https://elsewhere.example.com/"})
    assert "not permitted" in (await choir.ask("GET", VOICES, code=502))["message"]


@pytest.mark.parametrize("path", ["/namespaces/default/../voices", "//voices", "/voices/%2e%2e/x", "/voices/a%2fb"])
async def test_a_path_that_could_be_read_in_two_ways_is_not_passed_on(choir: Choir, path: str) -> None:
    await choir.register()
    before = len(choir.extension.asked)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", choir.api.server.port, ssl=choir.api.pki.client("admin")
    )
    writer.write(f"GET {BASE}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert b" 404 " in await reader.readline()
    writer.close()
    assert len(choir.extension.asked) == before


async def test_what_is_ours_is_registered_as_local_and_comes_back_when_deleted(choir: Choir) -> None:
    for name in ("v1.", "v1.apps", "v1.authorization.k8s.io", "v1beta1.metrics.k8s.io"):
        assert (await choir.until("True", "Local", name))["message"] == "Local APIServices are always available"
    await choir.ask("DELETE", f"{API_SERVICES}/v1.apps")
    await choir.until("True", "Local", "v1.apps")


async def test_metrics_can_be_given_to_another_server_and_come_back(choir: Choir) -> None:
    name = "v1beta1.metrics.k8s.io"
    await choir.until("True", "Local", name)
    service = {"namespace": "music", "name": "voices", "port": choir.extension.port}
    merge = {"Content-Type": "application/merge-patch+json"}
    await choir.ask("PATCH", f"{API_SERVICES}/{name}", {"spec": {"service": service}}, headers=merge)
    await choir.until("False", "FailedDiscoveryCheck", name)
    await choir.ask("GET", "/apis/metrics.k8s.io/v1beta1/pods", code=503)
    await choir.ask("DELETE", f"{API_SERVICES}/{name}")
    await choir.until("True", "Local", name)
    await choir.ask("GET", "/apis/metrics.k8s.io/v1beta1/pods")


async def test_the_managers_own_loops_ask_by_path(choir: Choir) -> None:
    with pytest.raises(NotFound, match=r"no API choir\.example\.com/v1 registered"):
        await choir.api.aggregator.ask("/apis/choir.example.com/v1", {})
    await choir.register()
    found = await choir.api.aggregator.ask("/apis/choir.example.com/v1", {"labelSelector": "a=b"})
    assert found["kind"] == "APIResourceList"
    with pytest.raises(ApiError) as refused:
        await choir.api.aggregator.ask("/apis/choir.example.com/v1/nothing", {})
    assert refused.value.code == 404


async def test_what_another_server_keeps_in_a_namespace_can_be_taken_away(choir: Choir) -> None:
    await choir.register()
    await choir.ask("POST", f"{BASE}/namespaces/default/voices", {"metadata": {"name": "alto"}}, code=201)
    left = await elsewhere.empty(choir.api.aggregator, "default")
    assert (left.objects, left.failures, left.silent) == ({"voices.choir.example.com": 1}, [], {})
    assert not choir.extension.voices
    assert dict(choir.extension.headers(f"{BASE}/namespaces/default/voices/alto"))["X-Remote-Group"]
