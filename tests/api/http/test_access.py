"""Who gets in, and how far."""

from __future__ import annotations

import aiohttp
import pytest
from tests.api.http.conftest import Api


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/readyz/ping"])
async def test_health_is_open_to_everyone(api: Api, path: str) -> None:
    assert await api.ask("GET", path, who="") == (200, "ok")


async def test_verbose_health_lists_the_checks(api: Api) -> None:
    _, text = await api.ask("GET", "/readyz?verbose", who="")
    assert "[+]ping ok" in text
    assert "readyz check passed" in text


@pytest.mark.parametrize("path", ["/api", "/api/v1/pods", "/openapi/v2", "/metrics", "/nope"])
async def test_anonymous_callers_are_told_to_say_who_they_are(api: Api, path: str) -> None:
    code, status = await api.ask("GET", path, who="")
    assert (code, status["kind"], status["reason"]) == (401, "Status", "Unauthorized")


async def test_a_certificate_of_another_authority_ends_the_handshake(api: Api, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from motet.identity import tls
    from motet.identity.authority import Authority

    other = Authority.create(tmp_path / "other")
    certificate, key = other.issue("admin", ("system:masters",)).write(tmp_path, "fake")
    context = tls.client_context(api.pki.directory / "ca.crt", certificate, key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{api.url}/api/v1/pods")


async def test_a_stranger_is_refused_in_upstreams_words(api: Api) -> None:
    code, status = await api.ask("GET", "/api/v1/namespaces/default/pods", who="stranger")
    assert code == 403
    assert status["message"] == (
        'pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "default"'
    )


async def test_a_node_cannot_make_nodes_not_even_itself_for_joining_does(api: Api) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    code, _ = await api.ask("POST", "/api/v1/nodes", node, who="node")
    assert code == 403


async def test_whoami_tells_name_and_groups(api: Api) -> None:
    for version in ("v1", "v1beta1"):
        code, review = await api.ask(
            "POST", f"/apis/authentication.k8s.io/{version}/selfsubjectreviews", {}, who="node"
        )
        assert code == 201
        assert review["status"]["userInfo"] == {
            "username": "system:node:n1",
            "groups": ["system:nodes", "system:authenticated"],
        }


async def test_access_reviews_answer_truthfully(api: Api) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spec = {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "default"}}
    _, review = await api.ask("POST", path, {"spec": spec}, who="admin")
    assert review["status"]["allowed"] is True
    _, review = await api.ask("POST", path, {"spec": spec}, who="stranger")
    assert review["status"]["allowed"] is False


async def test_an_administrator_may_act_as_somebody_else(api: Api) -> None:
    code, _ = await api.ask("GET", "/api/v1/pods", headers={"Impersonate-User": "eve"})
    assert code == 403
    code, _ = await api.ask("GET", "/api/v1/pods", who="node", headers={"Impersonate-User": "admin"})
    assert code == 403


async def test_metrics_count_requests(api: Api) -> None:
    await api.ask("GET", "/api/v1/pods")
    code, text = await api.ask("GET", "/metrics")
    assert code == 200
    assert 'apiserver_request_total{verb="list",resource="pods",code="200"} 1' in text
    assert f"motet_store_revision {api.registry.store.revision}\n" in text
    code, _ = await api.ask("GET", "/metrics", who="node")
    assert code == 403


async def test_nobody_can_make_up_names_in_the_metrics(api: Api) -> None:
    for path in ("/api/v1/madeup", "/api/v1/namespaces/default/pods/a/madeup", "/madeup"):
        await api.ask("GET", path)
    await api.ask("BREW", "/api/v1/pods", who="")
    await api.ask("GET", "/api/v1/namespaces/default/pods/absent")
    _, text = await api.ask("GET", "/metrics")
    assert "madeup" not in text
    assert "brew" not in text
    assert 'apiserver_request_total{verb="get",resource="pods",code="404"} 1' in text


async def test_an_error_of_our_own_is_a_status_with_a_number(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("inside information")

    monkeypatch.setattr(type(api.registry), "get", broken)
    code, status = await api.ask("GET", "/api/v1/namespaces/default/configmaps/a")
    assert (code, status["reason"]) == (500, "InternalError")
    assert "inside information" not in status["message"]
    number = status["message"].rsplit(" ", 1)[1]
    assert sum(number in record.getMessage() for record in caplog.records) == 1


async def test_a_review_cannot_be_shown_as_a_table(api: Api) -> None:
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    code, status = await api.ask("POST", path, {"spec": {"nonResourceAttributes": {"verb": "get"}}}, headers=table)
    assert (code, status["reason"]) == (406, "NotAcceptable")


async def test_a_node_changes_no_labels_along_with_a_status(api: Api) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n1"}
    await api.ask("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": spec})
    await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    headers = {"Content-Type": "application/merge-patch+json"}
    for path, labels in (
        ("/api/v1/namespaces/default/pods/p/status", {"app": "web"}),
        ("/api/v1/nodes/n1/status", {"node-role.kubernetes.io/control-plane": ""}),
    ):
        patch = {"metadata": {"labels": labels}, "status": {"phase": "Running"}}
        assert (await api.ask("PATCH", path, patch, who="node", headers=headers))[0] == 403
        assert (await api.ask("PATCH", path, {"status": {"phase": "Running"}}, who="node", headers=headers))[0] == 200


async def test_strangers_see_what_roles_open_to_them_and_nothing_else(api: Api) -> None:
    code, found = await api.ask("GET", "/version", who="")
    assert (code, found["major"]) == (200, "1")
    for path in ("/apis", "/api/v1/namespaces", "/metrics", "/openid/v1/jwks"):
        assert (await api.ask("GET", path, who=""))[0] == 401
    assert (await api.ask("GET", "/version", token="no such token"))[0] == 401
    impersonating = {"Impersonate-User": "admin"}
    assert (await api.ask("GET", "/version", who="", headers=impersonating))[0] == 403
    binding = {
        "metadata": {"name": "issuer-for-all"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [{"kind": "Group", "name": "system:unauthenticated", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert (await api.ask("POST", path, binding))[0] == 201
    assert (await api.ask("GET", "/openid/v1/jwks", who=""))[0] == 200
