"""The manager process: everything in one event loop, started in order and stopped in reverse.

No part calls another over the network: the API's edge, the controllers and the scheduler share the registry and the cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from motet.api import bootstrap, priority
from motet.api.admission import Chain
from motet.api.aggregation import authentication
from motet.api.aggregation.aggregator import Aggregator
from motet.api.allocate import ServiceNumbers
from motet.api.conditions import Conditions
from motet.api.custom.serving import CustomKinds
from motet.api.flowcontrol import bootstrap as flow_bootstrap
from motet.api.http.audit import policy as audit_policy
from motet.api.http.audit.events import Auditor
from motet.api.http.audit.log import AuditLog
from motet.api.http.authorize import Authorizer, Roles
from motet.api.http.bearer import Tokens
from motet.api.http.enrolment import Enrolment, EnrolmentConfig
from motet.api.http.members import Members
from motet.api.http.nodegraph import NodeGraph
from motet.api.http.server import ApiConfig, ApiServer
from motet.api.http.usedobjects import UsedObjects
from motet.api.policies.admitting import AdmissionPolicies
from motet.api.quota import admission as quota
from motet.api.quota.book import QuotaBook
from motet.api.rbac import bootstrap as rbac_bootstrap
from motet.api.rbac.index import RbacIndex
from motet.api.registry import Registry, resources
from motet.api.tokenrequests import TokenRequests
from motet.api.users import CONTROLLERS, User
from motet.api.webhooks.admitting import AdmissionWebhooks
from motet.api.webhooks.client import WebhookClient
from motet.base.clock import Clock, SystemClock
from motet.base.supervise import forever
from motet.client.events import EventRecorder
from motet.client.local import LocalClient
from motet.client.remote import RemoteClient
from motet.controllers.run import ControllersConfig, run_all
from motet.dialects.docker.call import Engine as DockerEngine
from motet.dialects.docker.containers.reaper import Reaper
from motet.dialects.docker.rollbacks import Rollbacks
from motet.dialects.docker.server import DockerServer
from motet.identity import tls
from motet.identity.accounts import Lasting
from motet.identity.authority import CurrentAuthority
from motet.identity.messages import Cluster
from motet.identity.signing import CurrentRing
from motet.kinds import node, serviceaccount
from motet.kinds.catalogue import KINDS, Catalogue
from motet.scheduler import profiles as scheduler_profiles
from motet.scheduler.loop import Scheduler
from motet.scheduler.profiles import Profiles
from motet.server import atrest, credentials, history
from motet.server.admission import plugins
from motet.server.config import ServerConfig
from motet.store.cache import Cache
from motet.store.sealing import Keys, Sealer
from motet.store.sqlite import SqliteStore

_log = logging.getLogger(__name__)

_SCHEDULER = User("system:motet:scheduler", CONTROLLERS.groups)
_RENEW_CHECK = timedelta(hours=6)
# Views and documents hold no reference cycles, so the collector has little to find and should seldom look.
_COLLECT_AFTER = 100_000


@contextlib.asynccontextmanager
async def serving(config: ServerConfig, *, clock: Clock | None = None) -> AsyncIterator[ApiServer]:
    """A manager for as long as the block lasts; the server is listening when the block begins.

    Raises StoreInUse, StoreDamaged, IdentityError, OSError.
    """
    clock = clock or SystemClock()
    gc.set_threshold(_COLLECT_AFTER, 50, 50)
    async with contextlib.AsyncExitStack() as stack:
        sealer = Sealer(Keys.new())
        store = SqliteStore(config.store, synchronous=config.synchronous, sealer=sealer)
        # First of all: a second manager on the same directory is refused here, before it writes a line.
        await store.open()
        stack.push_async_callback(store.close)
        sealer.use(Keys.load_or_create(config.secret_keys))
        files = credentials.prepare(config, clock.now())
        catalogue = Catalogue(KINDS)
        cache = Cache(store, resources(catalogue))
        await cache.start()
        stack.push_async_callback(cache.close)
        numbers = ServiceNumbers(
            networks=(str(config.services), *((str(config.services_six),) if config.services_six else ())),
            reserved=(str(config.service_address), str(config.dns_address)),
        )
        rbac = RbacIndex(cache.table)
        graph = NodeGraph(cache)
        authorizer = Roles(graph, rbac)
        quotas = QuotaBook(cache.table, clock)
        webhooks = WebhookClient(cache.table)
        stack.push_async_callback(webhooks.close)
        conditions = Conditions(authorizer)
        policies = AdmissionPolicies(catalogue, cache.table, conditions)
        outside = AdmissionWebhooks(webhooks, catalogue, cache.table, conditions)
        chain = Chain(
            (*plugins(rbac, authorizer, clock), *policies.plugins, *outside.plugins, *quota.plugins(quotas, clock))
        )
        policies.follow(chain.forget)
        outside.follow(chain.forget)
        registry = Registry(store, cache, catalogue, clock, numbers=numbers, admission=chain)
        custom = CustomKinds(registry, webhooks)
        await custom.start()
        stack.push_async_callback(custom.stop)
        aggregator = Aggregator(cache.table, files.front_proxy, clock)
        stack.push_async_callback(aggregator.close)
        members = Members(registry.table(node.KIND))
        ring = CurrentRing(config.token_keys)
        ring()
        requests = TokenRequests(cache.table, ring, config.issuer, clock)
        registry.answer(serviceaccount.KIND, "token", requests.create)
        audit = _auditor(config, clock)
        profiles = scheduler_profiles.load(config.data_dir / scheduler_profiles.FILE)
        agent_tls = tls.client_context(files.ca, *files.api, check_hostname=False)
        server = ApiServer(
            ApiConfig(
                host=config.host,
                port=config.port,
                certificate=files.server[0],
                key=files.server[1],
                client_ca=files.ca,
                advertise=f"{config.advertised}:{config.port}",
            ),
            registry,
            catalogue,
            authorizer,
            agent_tls=agent_tls,
            members=members,
            audit=audit[0] if audit is not None else None,
            tokens=Tokens(cache.table, ring, config.issuer, clock),
            enrolment=Enrolment(_enrolment(config), CurrentAuthority(config.pki), registry),
            custom=custom,
            aggregator=aggregator,
            used=UsedObjects(cache.table, graph, clock),
            clock=clock,
        )
        managers = [(config.advertised, config.port)] if config.reachable else []
        address = str(config.service_address)
        await bootstrap.ensure(registry, managers, service_address=address)
        await rbac_bootstrap.ensure(registry)
        await priority.ensure(registry)
        await flow_bootstrap.ensure(registry)
        await server.start()
        stack.push_async_callback(server.stop)
        engine = _docker_engine(config, server.port, agent_tls, files.ca, clock)
        docker = DockerServer(engine)
        stack.push_async_callback(docker.stop)
        await _serve_docker(docker, config, files)
        tasks = await stack.enter_async_context(_Background())
        tasks.keep("encryption of secrets", lambda: atrest.keep(store, sealer, config.secret_keys, clock))
        tasks.keep("history", lambda: history.keep(store, config.history_seconds, clock))
        tasks.keep("first objects", lambda: bootstrap.keep(registry, lambda: managers, clock, service_address=address))
        tasks.keep("flow schemas", lambda: flow_bootstrap.keep(registry, clock))
        tasks.keep("roots for extension servers", lambda: authentication.keep(registry, files.roots, clock))
        if audit is not None:
            stack.callback(audit[1].flush)
            tasks.keep("audit log", audit[1].run)
        tasks.keep("certificates", lambda: _renew(config, server, docker, agent_tls, aggregator, clock))
        settings = _controllers(config, files.ca.read_text(), ring, authorizer, quotas)
        settings = replace(
            settings,
            pod_metrics=server.usage.pods,
            probe=aggregator.probe,
            metrics_apis=aggregator.ask,
            others=aggregator,
        )
        _start_control_loops(tasks, settings, registry, clock, profiles)
        tasks.keep("rollbacks of services", lambda: Rollbacks(LocalClient(registry), engine, clock).run())
        yield server


def _docker_engine(config: ServerConfig, port: int, api_tls: ssl.SSLContext, ca: Path, clock: Clock) -> DockerEngine:
    host = "127.0.0.1" if config.host in ("0.0.0.0", "") else config.host
    authority = CurrentAuthority(config.pki)
    return DockerEngine(
        connect=lambda user: RemoteClient(
            f"https://{host}:{port}", api_tls, clock=clock, user_agent="motet-docker", acting_as=user
        ),
        clock=clock,
        address=config.advertised,
        api_port=port,
        roots=ca.read_bytes,
        seal_key=lambda: authority().derive("motet docker seal"),
        pods=str(config.pods),
        data_dir=config.data_dir.parent,
        volumes_dir=config.volumes_dir,
    )


async def _serve_docker(docker: DockerServer, config: ServerConfig, files: credentials.Credentials) -> None:
    """The Docker API is a courtesy: what keeps it from listening does not keep the manager from managing."""
    try:
        if config.docker_socket is not None:
            await docker.listen_locally(config.docker_socket)
        if config.docker_port:
            await docker.listen(config.host, config.docker_port, files.server, files.ca)
    except OSError as error:
        _log.warning("the Docker API is not served everywhere it should be: %s", error)


def _auditor(config: ServerConfig, clock: Clock) -> tuple[Auditor, AuditLog] | None:
    """Raises BadPolicy, OSError."""
    if config.audit_log is None:
        return None
    policy = audit_policy.load(config.audit_policy or config.data_dir / "audit-policy.yaml")
    log = AuditLog(config.audit_log, clock)
    return Auditor(policy, log, clock), log


def _controllers(
    config: ServerConfig, ca: str, ring: CurrentRing, authorizer: Authorizer, quotas: QuotaBook
) -> ControllersConfig:
    return ControllersConfig(
        ca_certificate=ca,
        account_tokens=Lasting(ring),
        legacy_tokens=config.legacy_tokens,
        authority=CurrentAuthority(config.pki),
        may=lambda user, asked: authorizer.decide(user, asked).allowed,
        quotas=quotas,
        pod_networks=(str(config.pods), *((str(config.pods_six),) if config.pods_six else ())),
        volumes_directory=str(config.volumes_dir),
        node_grace=config.node_grace,
    )


def _start_control_loops(
    tasks: _Background, settings: ControllersConfig, registry: Registry, clock: Clock, known: Profiles
) -> None:
    controllers = LocalClient(registry)
    tasks.keep("controllers", lambda: run_all(controllers, clock, settings, catalogue=registry.catalogue))
    tasks.keep("containers of docker", Reaper(controllers, clock).run)
    client = LocalClient(registry, _SCHEDULER)
    recorder = EventRecorder(client, clock, "default-scheduler")
    tasks.keep("scheduler", lambda: Scheduler(client, recorder, clock, known).run())
    tasks.keep("scheduler's events", recorder.run)


def _enrolment(config: ServerConfig) -> EnrolmentConfig:
    cluster = Cluster(
        managers=(f"{config.advertised}:{config.port}",),
        pods=str(config.pods),
        services=str(config.services),
        pods_six=str(config.pods_six or ""),
        services_six=str(config.services_six or ""),
        dns_address=str(config.dns_address),
        domain=config.domain,
        node_grace=config.node_grace,
        encrypted=config.encrypted,
    )
    reserved = frozenset((*config.subject_names, str(config.dns_address)))
    return EnrolmentConfig(cluster=cluster, reserved=reserved, lifetime=config.certificate_lifetime)


async def _renew(
    config: ServerConfig,
    server: ApiServer,
    docker: DockerServer,
    agent_tls: ssl.SSLContext,
    aggregator: Aggregator,
    clock: Clock,
) -> None:
    """Look often enough that no certificate of ours comes near its end."""
    every = min(_RENEW_CHECK, config.certificate_lifetime / 12)
    while True:
        await clock.sleep(every.total_seconds())
        files = credentials.prepare(config, clock.now())
        server.reload_certificate()
        docker.reload_certificate()
        agent_tls.load_cert_chain(*files.api)
        aggregator.reload()


class _Background:
    """Loops that run beside the server, each started again by itself when it fails."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> _Background:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def keep(self, name: str, run: Callable[[], object]) -> None:
        self._tasks.append(asyncio.create_task(forever(name, run, log=_log), name=name))  # type: ignore[arg-type]


async def run(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(config):
        await stop.wait()
        _log.info("stopping")
