"""Joining, renewing, leaving: over real TLS, against a real store."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from tests.api.http.conftest import Api, Pki, serving

from motet.api.http.enrolment import EnrolmentConfig
from motet.api.users import CONTROLLERS
from motet.identity import requests, tls
from motet.identity.messages import Cluster
from motet.kinds import node as node_kind
from motet.kinds import secret as secret_kind

CLUSTER = Cluster(("192.0.2.1:6443",), "10.42.0.0/16", "10.43.0.0/16", "10.43.0.10", "cluster.local")
CONFIG = EnrolmentConfig(
    cluster=CLUSTER, reserved=frozenset({"kubernetes", "192.0.2.1"}), lifetime=timedelta(minutes=30)
)


@pytest.fixture
async def api(pki: Pki, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(pki, tmp_path, CONFIG) as made:
        yield made


async def token(api: Api, role: str = "worker", *, rotate: bool = False) -> str:
    path = f"/motet/v1/join-tokens/{role}"
    _, answer = await (api.ask("POST", f"{path}/rotate") if rotate else api.ask("GET", path))
    return str(answer["token"])


def secret_of(text: str) -> str:
    return text.rpartition("-")[2]


class Machine:
    """One that wants to join: its key, and what it was given."""

    def __init__(self, api: Api, directory: Path, name: str = "w1") -> None:
        self.api, self.directory, self.name = api, directory, name
        self.made = requests.make()
        self.uid = ""

    async def join(self, secret: str, who: str = "", **changed: str) -> tuple[int, Any]:
        asked = {"node": self.name, "address": "192.0.2.7", "request": self.made.request.decode(), "secret": secret}
        code, answer = await self.api.ask("POST", "/motet/v1/join", {**asked, **changed}, who=who)
        if code == 201:
            self.keep(answer)
        return code, answer

    def keep(self, answer: dict[str, Any]) -> None:
        self.uid = answer["uid"]
        (self.directory / f"{self.name}.pem").write_bytes(answer["certificate"].encode() + self.made.key)
        self.certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())

    def context(self) -> ssl.SSLContext:
        pair = self.directory / f"{self.name}.pem"
        return tls.client_context(self.api.pki.directory / "ca.crt", pair, pair)

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.api.url, connector=aiohttp.TCPConnector(ssl=self.context()))

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        async with (
            self.session() as session,
            session.request(
                method, path, json=body, headers={"Content-Type": kind} if body is not None else None
            ) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text)


@pytest.fixture
async def member(api: Api, tmp_path: Path) -> Machine:
    machine = Machine(api, tmp_path)
    code, answer = await machine.join(secret_of(await token(api)))
    assert code == 201, answer
    return machine


async def test_whoever_comes_may_see_the_root_and_nothing_else(api: Api) -> None:
    code, answer = await api.ask("GET", "/motet/v1/ca", who="")
    assert (code, answer["ca"].encode()) == (200, api.pki.authority.pem)
    for method, path in (
        ("GET", "join-tokens/worker"),
        ("POST", "join-tokens/worker/rotate"),
        ("POST", "renew"),
        ("POST", "leave"),
        ("GET", "anything"),
        ("POST", "ca"),
    ):
        code, _ = await api.ask(method, f"/motet/v1/{path}", who="")
        assert code == 401, path


async def test_a_machine_with_a_token_becomes_a_node(api: Api, member: Machine) -> None:
    node = api.registry.table(node_kind.KIND).get("w1")
    assert node is not None
    assert node.meta.uid == member.uid
    subject = {part.rfc4514_attribute_name: part.value for part in member.certificate.subject}
    assert subject["CN"] == "system:node:w1"
    assert subject["O"] == "system:nodes"
    names = member.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["192.0.2.7", "w1"]
    assert await member.ask("GET", "/api/v1/nodes/w1") != 401


async def test_nothing_of_the_requests_own_subject_gets_into_the_certificate(api: Api, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    wish = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
            x509.NameAttribute(NameOID.COMMON_NAME, "admin"),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(wish).sign(key, hashes.SHA256())
    machine = Machine(api, tmp_path)
    pem = request.public_bytes(serialization.Encoding.PEM).decode()
    assert (await machine.join(secret_of(await token(api)), request=pem))[0] == 201
    assert "masters" not in machine.certificate.subject.rfc4514_string()


async def test_a_rotated_token_admits_nobody_and_disturbs_no_member(api: Api, member: Machine, tmp_path: Path) -> None:
    old = await token(api)
    new = await token(api, rotate=True)
    assert old != new
    assert (await Machine(api, tmp_path, "w2").join(secret_of(old)))[0] == 401
    assert (await Machine(api, tmp_path, "w3").join(secret_of(new)))[0] == 201
    assert (await member.ask("GET", "/api/v1/nodes/w1"))[0] == 200


async def test_a_workers_token_makes_no_manager(api: Api, tmp_path: Path) -> None:
    machine = Machine(api, tmp_path)
    code, answer = await machine.join(secret_of(await token(api)), role="manager")
    assert (code, answer["message"]) == (403, "this token admits a worker, not a manager")
    code, answer = await machine.join(secret_of(await token(api, "manager")))
    assert code == 501
    assert "several managers are not supported yet" in answer["message"]
    assert api.registry.table(node_kind.KIND).get("w1") is None


async def test_the_store_holds_no_token(api: Api) -> None:
    made = [secret_of(await token(api, role)) for role in ("worker", "manager")]
    stored = b"".join(document.raw for document in api.registry.table(secret_kind.KIND))
    assert b"motet-join-tokens" in stored
    assert not any(secret.encode() in stored for secret in made)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"node": "kubernetes"}, 403),
        ({"address": "192.0.2.1"}, 403),
        ({"address": "127.0.0.1"}, 403),
        ({"address": "::1"}, 400),
        ({"address": "host"}, 400),
        ({"node": "Not A Name"}, 400),
        ({"node": "../../x"}, 400),
        ({"request": "nonsense"}, 400),
    ],
    ids=str,
)
async def test_a_machine_gets_no_name_by_which_it_could_pose_as_another(
    api: Api, tmp_path: Path, changed: dict[str, str], code: int
) -> None:
    machine = Machine(api, tmp_path)
    assert (await machine.join(secret_of(await token(api)), **changed))[0] == code
    assert len(api.registry.table(node_kind.KIND)) == 0


async def die(api: Api, name: str) -> None:
    """What the manager writes when a node has been silent for long."""
    dead = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    patch = {"Content-Type": "application/merge-patch+json"}
    code, _ = await api.ask("PATCH", f"/api/v1/nodes/{name}/status", dead, headers=patch)
    assert code == 200


@pytest.mark.parametrize("dead", [False, True])
async def test_the_name_of_a_node_is_taken_dead_or_alive_but_its_owner_may_come_again(
    api: Api, member: Machine, tmp_path: Path, dead: bool
) -> None:
    if dead:
        await die(api, "w1")
    secret = secret_of(await token(api))
    code, answer = await Machine(api, tmp_path, "w1").join(secret)
    assert code == 409
    assert "cannot prove to be it" in answer["message"]
    assert "motet node rm w1" in answer["message"]
    asked = {"node": "w1", "address": "192.0.2.7", "request": member.made.request.decode(), "secret": secret}
    code, answer = await member.ask("POST", "/motet/v1/join", asked)
    assert (code, answer["uid"]) == (201, member.uid)


async def test_whoever_has_the_nodes_key_is_that_node_without_its_certificate(
    api: Api, member: Machine, tmp_path: Path
) -> None:
    await die(api, "w1")
    secret = secret_of(await token(api))
    was = member.uid
    code, _ = await member.join(secret)
    assert (code, member.uid) == (201, was)
    made, member.made = member.made, requests.make()
    assert (await member.ask("POST", "/motet/v1/renew", {"request": member.made.request.decode()}))[0] == 201
    code, _ = await member.join(secret)
    assert (code, member.uid) == (201, was), "the key of today counts"
    member.made = made
    assert (await member.join(secret))[0] == 409, "and the one before does not"


async def test_the_name_of_a_removed_node_goes_to_the_next_and_the_old_one_is_out(
    api: Api, member: Machine, tmp_path: Path
) -> None:
    assert (await api.ask("DELETE", "/api/v1/nodes/w1"))[0] == 200
    heir = Machine(api, tmp_path / "heir", "w1")
    heir.directory.mkdir()
    assert (await heir.join(secret_of(await token(api))))[0] == 201
    assert heir.uid != member.uid
    assert (await heir.ask("GET", "/api/v1/nodes/w1"))[0] == 200
    assert (await member.ask("GET", "/api/v1/nodes/w1"))[0] == 401


async def test_an_administrator_needs_no_token_and_keeps_the_node_there_is(api: Api, member: Machine) -> None:
    code, answer = await member.join("", who="admin")
    assert (code, answer["uid"]) == (201, member.uid)


async def test_a_node_renews_its_certificate_for_itself_and_no_other(api: Api, member: Machine) -> None:
    made = requests.make()
    code, answer = await member.ask("POST", "/motet/v1/renew", {"request": made.request.decode()})
    assert code == 201
    renewed = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert renewed.subject == member.certificate.subject
    wanted = x509.SubjectAlternativeName
    assert renewed.extensions.get_extension_for_class(wanted) == member.certificate.extensions.get_extension_for_class(
        wanted
    )
    code, _ = await api.ask("POST", "/motet/v1/renew", {"request": made.request.decode()}, who="admin")
    assert code == 403


async def test_only_administrators_see_tokens(member: Machine) -> None:
    assert (await member.ask("GET", "/motet/v1/join-tokens/worker"))[0] == 403
    assert (await member.ask("POST", "/motet/v1/join-tokens/worker/rotate"))[0] == 403


async def test_whoever_leaves_is_out_at_once(api: Api, member: Machine) -> None:
    assert (await member.ask("POST", "/motet/v1/leave", {}))[0] == 200
    assert api.registry.table(node_kind.KIND).get("w1") is None
    for method, path in (
        ("GET", "/api/v1/services"),
        ("POST", "/motet/v1/renew"),
        ("GET", "/version"),
        ("GET", "/api"),
    ):
        code, answer = await member.ask(method, path)
        assert (code, answer["reason"]) == (401, "NotAMember"), path


async def test_removing_a_node_cuts_its_watches(api: Api, member: Machine) -> None:
    async with member.session() as session, session.get("/api/v1/services?watch=true") as watch:
        assert await watch.content.readline()
        await api.ask("DELETE", "/api/v1/nodes/w1")
        async with asyncio.timeout(5):
            assert await ended(watch)


async def ended(answer: aiohttp.ClientResponse) -> bool:
    """Read what comes until nothing does any more."""
    try:
        while await answer.content.readline():
            continue
    except aiohttp.ClientError:
        return True
    return answer.content.at_eof()


async def test_a_certificate_without_the_uid_of_its_node_is_worth_nothing(api: Api, member: Machine) -> None:
    api.pki.issue("w1-fake", "system:node:w1", "system:nodes")
    code, _ = await api.ask("GET", "/api/v1/services", who="w1-fake")
    assert code == 401


async def test_a_node_cannot_make_itself_more_than_it_is(api: Api, member: Machine) -> None:
    for body in (
        {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}},
        {"metadata": {"labels": {"node-restriction.kubernetes.io/safe": "yes"}}},
        {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}},
        {"spec": {"unschedulable": True}},
        {"metadata": {"finalizers": ["a.b/c"]}},
    ):
        code, answer = await member.ask("PATCH", "/api/v1/nodes/w1", body)
        assert (code, answer["reason"]) == (403, "Forbidden"), body
    code, _ = await member.ask("PATCH", "/api/v1/nodes/w1", {"metadata": {"labels": {"kubernetes.io/os": "linux"}}})
    assert code == 200


async def test_a_node_publishes_a_wireguard_key_of_its_own_and_nobody_elses(api: Api, member: Machine) -> None:
    def note(byte: int) -> dict[str, Any]:
        return {"metadata": {"annotations": {node_kind.WIREGUARD_KEY: base64.b64encode(bytes([byte] * 32)).decode()}}}

    other = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "w2", **note(7)["metadata"]}}
    assert (await api.ask("POST", "/api/v1/nodes", other))[0] == 201
    assert (await member.ask("PATCH", "/api/v1/nodes/w1", note(8)))[0] == 200
    assert (await member.ask("PATCH", "/api/v1/nodes/w1", note(8)))[0] == 200
    assert (await member.ask("PATCH", "/api/v1/nodes/w2", note(9)))[0] == 403
    code, answer = await member.ask("PATCH", "/api/v1/nodes/w1", note(7))
    assert code == 403
    assert "it is the key of another node" in answer["message"]
    assert (await member.ask("PATCH", "/api/v1/nodes/w1", note(0)))[0] == 422


async def test_a_node_speaks_in_its_own_name_only(member: Machine) -> None:
    lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"generateName": "x"}, "spec": {}}
    code, _ = await member.ask("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
    assert code == 403
    event = {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "source": {"component": "kubelet", "host": "w2"},
        "reason": "x",
        "type": "Normal",
    }
    assert (await member.ask("POST", "/api/v1/namespaces/default/events", event))[0] == 403
    event["source"] = {"component": "kubelet", "host": "w1"}
    assert (await member.ask("POST", "/api/v1/namespaces/default/events", event))[0] == 201


async def test_a_thousand_bad_tokens_are_refused_slowed_down_and_leave_nothing(
    api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right = secret_of(await token(api))
    asked = {"node": "w1", "address": "192.0.2.7", "request": requests.make().request.decode(), "role": "worker"}
    codes: dict[int, int] = {}
    words: set[str] = set()
    revision = api.registry.store.revision
    async with api.session("") as session:

        async def one(number: int) -> None:
            body = {**asked, "secret": f"wrong{number}"}
            async with session.post("/motet/v1/join", json=body) as answer:
                codes[answer.status] = codes.get(answer.status, 0) + 1
                words.add((await answer.json())["message"])

        for start in range(0, 1000, 50):
            await asyncio.gather(*(one(number) for number in range(start, start + 50)))
    assert codes.keys() == {401, 429}
    assert codes[401] < 30
    assert len(words) == 2
    assert not any(right in text or "wrong" in text for text in (*words, caplog.text))
    assert api.registry.store.revision == revision
    assert len(api.registry.table(node_kind.KIND)) == 0
    assert caplog.text.count("join refused") == codes[401]
    assert caplog.text.count("joins come too often") == 1


async def test_the_very_first_joins_may_come_all_at_once(api: Api) -> None:
    """Nobody has asked for a token yet, so there are no salts: whoever makes them, all are answered by them."""
    asked = {"node": "w1", "address": "192.0.2.7", "request": requests.make().request.decode(), "secret": "wrong"}
    async with api.session("") as session:

        async def one() -> int:
            async with session.post("/motet/v1/join", json=asked) as answer:
                return answer.status

        codes = set(await asyncio.gather(*(one() for _ in range(50))))
    assert codes <= {401, 429}


async def test_a_body_that_is_too_long_is_not_read(api: Api) -> None:
    code, _ = await api.ask("POST", "/motet/v1/join", b"x" * 20_000, who="")
    assert code == 413


async def test_pods_created_for_a_node_open_their_secrets_and_close_them_again(api: Api, member: Machine) -> None:
    await api.ask("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    path = "/api/v1/namespaces/default/secrets/s"
    assert (await member.ask("GET", path))[0] == 403
    volume = {"name": "v", "secret": {"secretName": "s"}}
    pod = {
        "metadata": {"name": "p"},
        "spec": {"nodeName": "w1", "containers": [{"name": "c", "image": "i"}], "volumes": [volume]},
    }
    code, answer = await api.ask("POST", "/api/v1/namespaces/default/pods", pod)
    assert code == 201, answer
    assert (await member.ask("GET", path))[0] == 200
    assert (await member.ask("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dw1"))[0] == 200
    await api.registry.delete(
        api.registry.catalogue.by_resource("core/pods"),
        "default",
        "p",
        CONTROLLERS,
        options(),  # type: ignore[arg-type]
    )
    assert (await member.ask("GET", path))[0] == 403


def options() -> Any:
    from motet.api.options import DeleteOptions

    return DeleteOptions(grace_seconds=0)
