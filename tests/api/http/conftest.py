"""A whole API server in the test's own process: real TLS, real store, a throw-away authority."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import ssl
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from motet.api import bootstrap, certificates
from motet.api.admission import BUILT_IN, Chain
from motet.api.aggregation import authentication
from motet.api.aggregation.aggregator import Aggregator
from motet.api.aggregation.identity import PROXY_USER
from motet.api.attributes import Attributes
from motet.api.conditions import Conditions
from motet.api.custom.serving import CustomKinds
from motet.api.http.audit.events import Auditor
from motet.api.http.authorize import Roles
from motet.api.http.bearer import Tokens
from motet.api.http.enrolment import Enrolment, EnrolmentConfig
from motet.api.http.members import Members
from motet.api.http.nodegraph import NodeGraph
from motet.api.http.server import ApiConfig, ApiServer
from motet.api.http.usedobjects import UsedObjects
from motet.api.noderestriction import NODE_RESTRICTION
from motet.api.policies.admitting import AdmissionPolicies
from motet.api.rbac import bootstrap as rbac_bootstrap
from motet.api.rbac import escalation
from motet.api.rbac.index import RbacIndex
from motet.api.registry import Registry, resources
from motet.api.tokenrequests import TokenRequests
from motet.api.users import User
from motet.api.webhooks.admitting import AdmissionWebhooks
from motet.api.webhooks.client import WebhookClient
from motet.base.clock import Clock, SystemClock
from motet.identity import kubeconfig, tls
from motet.identity.authority import Authority
from motet.identity.signing import KeyRing
from motet.kinds import serviceaccount
from motet.kinds.catalogue import KINDS, Catalogue
from motet.store.cache import Cache
from motet.store.sqlite import SqliteStore

ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Pki:
    directory: Path
    authority: Authority
    # Whose certificate extension servers believe, and its one leaf.
    front_proxy: Authority
    proxy: tuple[Path, Path]
    ring: KeyRing = field(default_factory=lambda: KeyRing(ec.generate_private_key(ec.SECP256R1())))

    @classmethod
    def create(cls, directory: Path) -> Pki:
        front_proxy = Authority.create(directory / "front-proxy")
        proxy = front_proxy.issue(PROXY_USER).write(directory / "front-proxy", "client")
        return cls(directory, Authority.create(directory), front_proxy, proxy)

    def issue(self, name: str, user: str, *groups: str) -> tuple[Path, Path]:
        return self.authority.issue(user, groups, sans=("127.0.0.1", "localhost")).write(self.directory, name)

    def client(self, name: str) -> ssl.SSLContext:
        return tls.client_context(
            self.directory / "ca.crt", self.directory / f"{name}.crt", self.directory / f"{name}.key"
        )

    def anonymous(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.directory / "ca.crt"))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    directory = tmp_path_factory.mktemp("pki")
    made = Pki.create(directory)
    made.issue("server", "motet-server")
    made.issue("admin", "admin", "system:masters")
    made.issue("node", "system:node:n1", "system:nodes")
    made.issue("stranger", "eve")
    return made


@dataclass
class Api:
    """The running server and the ways to talk to it."""

    server: ApiServer
    registry: Registry
    pki: Pki
    kubeconfig: Path
    ring: KeyRing
    clock: Clock
    aggregator: Aggregator

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    @contextlib.asynccontextmanager
    async def session(self, who: str = "admin") -> AsyncIterator[aiohttp.ClientSession]:
        context = self.pki.client(who) if who else self.pki.anonymous()
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(self.url, connector=connector) as session:
            yield session

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str = "admin",
        token: str = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Code and decoded body of one request. With `token` there is no certificate."""
        headers = dict(headers or {})
        if token:
            who, headers["Authorization"] = "", f"Bearer {token}"
        data = body
        if body is not None and not isinstance(body, bytes | io.BytesIO):
            data = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        async with self.session(who) as session, session.request(method, path, data=data, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def kubectl(self, *arguments: str, stdin: str = "", fails: bool = False, binary: str = "") -> str:
        """Standard output of kubectl; with `fails`, its error output."""
        process = await asyncio.create_subprocess_exec(
            binary or str(Path(sysconfig.get_path("scripts")) / "kubectl"),
            *arguments,
            env={
                **os.environ,
                "KUBECONFIG": str(self.kubeconfig),
                "HOME": str(self.kubeconfig.parent),
                "KUBECTL_KUBERC": "false",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 30)
        finally:
            if process.returncode is None:
                process.kill()
        if fails:
            assert process.returncode, out.decode()
            return err.decode()
        assert process.returncode == 0, f"kubectl {' '.join(arguments)}: {err.decode()}"
        return out.decode()


@pytest.fixture
async def api(pki: Pki, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(pki, tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def serving(
    pki: Pki,
    directory: Path,
    enrolment: EnrolmentConfig | None = None,
    clock: Clock | None = None,
    audit: Auditor | None = None,
) -> AsyncIterator[Api]:
    """With `enrolment`, machines may join, and a node's certificate counts only while its Node lives."""
    clock = clock or SystemClock()
    catalogue = Catalogue(KINDS)
    store = SqliteStore(directory / "state.db", synchronous="NORMAL")
    await store.open()
    cache = Cache(store, resources(catalogue))
    await cache.start()
    rbac = RbacIndex(cache.table)
    graph = NodeGraph(cache)
    authorizer = Roles(graph, rbac)

    def may(user: User, asked: Attributes) -> bool:
        return authorizer.decide(user, asked).allowed

    own = (*escalation.plugins(rbac, may), *certificates.plugins(may, clock))
    webhooks = WebhookClient(cache.table)
    conditions = Conditions(authorizer)
    policies = AdmissionPolicies(catalogue, cache.table, conditions)
    outside = AdmissionWebhooks(webhooks, catalogue, cache.table, conditions)
    chain = Chain((*BUILT_IN, *NODE_RESTRICTION, *own, *policies.plugins, *outside.plugins))
    policies.follow(chain.forget)
    outside.follow(chain.forget)
    registry = Registry(store, cache, catalogue, clock, admission=chain)
    ring = pki.ring
    registry.answer(serviceaccount.KIND, "token", TokenRequests(cache.table, lambda: ring, ISSUER, clock).create)
    custom = CustomKinds(registry, webhooks)
    await custom.start()
    config = ApiConfig(
        host="127.0.0.1",
        port=0,
        certificate=pki.directory / "server.crt",
        key=pki.directory / "server.key",
        client_ca=pki.directory / "ca.crt",
        stop_seconds=0.2,
    )
    aggregator = Aggregator(cache.table, pki.proxy, clock)
    server = ApiServer(
        config,
        registry,
        catalogue,
        authorizer,
        agent_tls=pki.client("admin"),
        members=Members(cache.table("core/nodes")) if enrolment else None,
        enrolment=Enrolment(enrolment, lambda: pki.authority, registry) if enrolment else None,
        audit=audit,
        tokens=Tokens(cache.table, lambda: ring, ISSUER, clock),
        custom=custom,
        aggregator=aggregator,
        used=UsedObjects(cache.table, graph, clock),
    )
    await server.start()
    path = directory / "kubeconfig"
    credentials = pki.authority.issue("admin", ("system:masters",))
    path.write_bytes(kubeconfig.render(f"https://127.0.0.1:{server.port}", pki.authority.pem, credentials))
    made = Api(server, registry, pki, path, ring, clock, aggregator)
    try:
        await bootstrap.ensure(registry, [("192.0.2.1", server.port)])
        await rbac_bootstrap.ensure(registry)
        await authentication.ensure(registry, (pki.authority.pem.decode(), pki.front_proxy.pem.decode()))
        yield made
    finally:
        await server.stop()
        await custom.stop()
        await aggregator.close()
        await webhooks.close()
        await cache.close()
        await store.close()


def pytest_asyncio_loop_factories() -> dict[str, object]:
    """The loop that a manager runs on."""
    return {"uvloop": uvloop.new_event_loop}
