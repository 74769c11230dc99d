"""Callers that show a service account's token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.http.conftest import ISSUER, Api, Pki, serving

from motet.base.clock import FakeClock

ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/robot"
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.fixture
async def api(pki: Pki, tmp_path: Path) -> AsyncIterator[Api]:
    clock = FakeClock()
    async with serving(pki, tmp_path, clock=clock) as made:
        await made.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
        yield made


async def later(api: Api, seconds: float) -> None:
    assert isinstance(api.clock, FakeClock)
    await api.clock.advance(seconds)


async def asked(api: Api, who: str = "admin", **spec: Any) -> tuple[int, Any]:
    return await api.ask("POST", f"{ACCOUNT}/token", {"spec": spec}, who=who)


async def token(api: Api, **spec: Any) -> str:
    code, answer = await asked(api, **spec)
    assert code == 201, answer
    return str(answer["status"]["token"])


async def whoami(api: Api, token: str) -> tuple[int, Any]:
    code, answer = await api.ask("POST", WHOAMI, {}, token=token)
    return code, answer["status"]["userInfo"] if code == 201 else answer["message"]


async def pod(api: Api, name: str = "p", **spec: Any) -> str:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    code, made = await api.ask("POST", "/api/v1/namespaces/default/pods", body)
    assert code == 201, made
    return str(made["metadata"]["uid"])


async def test_an_account_is_a_user_of_three_groups(api: Api) -> None:
    _, account = await api.ask("GET", ACCOUNT)
    code, who = await whoami(api, await token(api))
    assert code == 201
    assert who["username"] == "system:serviceaccount:default:robot"
    assert who["uid"] == account["metadata"]["uid"]
    assert who["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert who["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


async def test_the_answer_says_for_whom_until_when_and_for_which_audience(api: Api) -> None:
    _, answer = await asked(api, expirationSeconds=1200)
    assert answer["spec"] == {"expirationSeconds": 1200, "audiences": [ISSUER]}
    assert (answer["metadata"]["name"], answer["metadata"]["namespace"]) == ("robot", "default")
    assert answer["status"]["expirationTimestamp"].endswith("Z")


async def test_a_token_ends_in_time(api: Api) -> None:
    text = await token(api, expirationSeconds=600)
    await later(api, 599)
    assert (await whoami(api, text))[0] == 201
    await later(api, 1)
    assert await whoami(api, text) == (401, "Unauthorized: the token has expired")


async def test_a_token_ends_with_its_account_though_another_has_its_name(api: Api) -> None:
    text = await token(api)
    await api.ask("DELETE", ACCOUNT)
    assert (await whoami(api, text))[0] == 401
    await api.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    assert (await whoami(api, text))[0] == 401


async def test_a_pods_token_says_which_pod_and_ends_with_it(api: Api) -> None:
    uid = await pod(api, serviceAccountName="robot")
    text = await token(api, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid})
    _, who = await whoami(api, text)
    assert who["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]
    await api.ask("DELETE", "/api/v1/namespaces/default/pods/p", {"gracePeriodSeconds": 0})
    assert (await whoami(api, text))[0] == 401


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 1 << 33}, 422, "may not specify a duration larger than 2^32 seconds"),
        ({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}}, 400, "cannot bind token"),
        ({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "none"}}, 404, 'secrets "none" not found'),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "other"}}, 400, "different serviceaccount"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "other", "uid": "x"}}, 409, "does not match"),
        ({"audiences": "api"}, 400, "audiences"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(api: Api, spec: dict[str, Any], code: int, words: str) -> None:
    await pod(api, "other")
    answered, status = await asked(api, **spec)
    assert (answered, words in status["message"]) == (code, True), status


async def test_a_token_for_another_audience_opens_nothing_here(api: Api) -> None:
    text = await token(api, audiences=["vault"])
    assert await whoami(api, text) == (401, "Unauthorized: the token is for another audience")
    _, review = await api.ask("POST", REVIEW, {"spec": {"token": text, "audiences": ["vault", "x"]}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["audiences"] == ["vault"]
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:robot"


async def test_a_review_of_nonsense_is_an_answer_and_no_error(api: Api) -> None:
    code, review = await api.ask("POST", REVIEW, {"spec": {"token": "nonsense"}})
    assert code == 201
    assert "authenticated" not in review["status"]
    assert "invalid bearer token" in review["status"]["error"]


async def test_an_account_may_do_nothing_of_its_own_accord(api: Api) -> None:
    code, status = await api.ask("GET", "/api/v1/namespaces/default/pods", token=await token(api))
    assert code == 403
    assert 'User "system:serviceaccount:default:robot" cannot list resource "pods"' in status["message"]


async def test_a_lasting_token_counts_while_its_secret_holds_it(api: Api) -> None:
    from motet.identity.accounts import Lasting, Ref

    _, account = await api.ask("GET", ACCOUNT)
    text = Lasting(lambda: api.ring).issue("default", "s", Ref("robot", account["metadata"]["uid"]))
    secret = {
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token",
        "stringData": {"token": text},
    }
    assert (await whoami(api, text))[0] == 401
    await api.ask("POST", "/api/v1/namespaces/default/secrets", secret)
    assert (await whoami(api, text))[0] == 201
    await api.ask("DELETE", "/api/v1/namespaces/default/secrets/s")
    assert (await whoami(api, text))[0] == 401


async def test_a_node_gets_tokens_for_its_own_pods_and_no_others(api: Api) -> None:
    mine = await pod(api, "mine", serviceAccountName="robot", nodeName="n1")
    theirs = await pod(api, "theirs", serviceAccountName="robot", nodeName="n2")

    def bound(name: str, uid: str) -> dict[str, str]:
        return {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}

    assert (await asked(api, "node", boundObjectRef=bound("mine", mine)))[0] == 201
    for spec in ({"boundObjectRef": bound("theirs", theirs)}, {"boundObjectRef": bound("mine", "")}, {}):
        assert (await asked(api, "node", **spec))[0] == 403
    other = f"{ACCOUNT.removesuffix('robot')}default/token"
    assert (await api.ask("POST", other, {"spec": {}}, who="node"))[0] == 403


async def test_others_find_the_keys_by_openid_discovery(api: Api) -> None:
    text = await token(api)
    code, document = await api.ask("GET", "/.well-known/openid-configuration", token=text)
    assert (code, document["issuer"]) == (200, ISSUER)
    assert document["jwks_uri"].endswith("/openid/v1/jwks")
    code, keys = await api.ask("GET", "/openid/v1/jwks", token=text)
    assert (code, keys) == (200, api.ring.jwks())
