"""A node process put together: containerd, network, pods, heartbeats, server.

Stopping the agent, however it happens, leaves every pod running; the next agent takes them over. While the API is away the
agent goes on with what it knows.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol

import msgspec

from motet.agent import machine, tuning
from motet.agent.changes import UsedChanges
from motet.agent.config import AgentConfig
from motet.agent.images.building import Builder
from motet.agent.images.incoming import Incoming
from motet.agent.images.routes import ImageRoutes
from motet.agent.images.shelf import Shelf
from motet.agent.images.transfer import Transfer
from motet.agent.insides import Insides
from motet.agent.local_volumes import LocalVolumes
from motet.agent.node import NodeAgent, NotAMember
from motet.agent.plugins import Plugins
from motet.agent.renewal import Renewal
from motet.agent.sampling import Sampler
from motet.agent.server import AgentServer
from motet.agent.tidy import Tidy
from motet.agent.volumestats import VolumeStats
from motet.base import files, jitter
from motet.base.clock import Clock, SystemClock
from motet.base.errors import NOT_A_MEMBER, ApiError, MotetError
from motet.base.ip import pair
from motet.base.supervise import forever
from motet.client.events import EventRecorder
from motet.client.interface import Client
from motet.client.memory import Memory
from motet.client.remote import RemoteClient
from motet.identity import tls
from motet.identity.node_files import NodeFiles
from motet.kinds import node as node_kind
from motet.network.config import NetworkConfig, SixConfig
from motet.network.node import NodeNetwork
from motet.pods.actions import Actions
from motet.pods.config import PodsConfig
from motet.pods.csi.volumes import CsiVolumes
from motet.pods.env import Place
from motet.pods.execute import Tools
from motet.pods.hosts import ClusterDns
from motet.pods.images import Images
from motet.pods.isolation import Isolation, recall
from motet.pods.manager import Manager
from motet.pods.sources import ApiSources
from motet.pods.statics import StaticPods
from motet.pods.volumes import Volumes
from motet.runtime.cgroups import Cgroups
from motet.runtime.containerd import Containerd
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import ContainerState, Runtime, RuntimeFailure

_log = logging.getLogger("motet.agent")
_RETRY = 1.0
# Registering again while the API is away.
_RETRY_FIRST, _RETRY_LONGEST = 0.5, 8.0
_LAST_GRACE_SECONDS = 10


class Network(Protocol):
    """What the agent needs of the node's network."""

    @property
    def roster(self) -> Isolation: ...

    def prepare(self) -> None:
        """What must be there before the first pod."""
        ...

    async def run(self) -> None: ...

    async def drained(self, namespace: str, uid: str, longest: float) -> None:
        """Return when nobody begins connections to the pod any more, and after `longest` seconds anyway."""
        ...


NetworkMaker = Callable[[Client, NetworkConfig], Network]


class NodeSpec(msgspec.Struct, gc=False, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")


class NodeView(msgspec.Struct, gc=False, frozen=True):
    spec: NodeSpec = NodeSpec()


async def run_agent(config: AgentConfig, *, network: NetworkMaker = NodeNetwork) -> None:
    """Run a node until cancelled, which leaves its pods running. Raises RuntimeFailure when containerd cannot be had."""
    clock = SystemClock()
    for directory in (config.data_dir, config.pods_dir, config.volumes_dir, config.logs_dir):
        directory.mkdir(parents=True, exist_ok=True)
    containerd = Containerd(config.containerd) if config.runtime_socket is None else None
    if containerd is not None:
        await containerd.ensure()
    runtime = CriRuntime(config.socket)
    context = tls.client_context(config.ca, config.certificate, config.key)
    memory = Memory(config.data_dir / "known")
    client = RemoteClient(config.server, context, user_agent="motet-agent", memory=memory)
    node = NodeAgent(config, client, runtime, clock)
    try:
        async with asyncio.TaskGroup() as group:
            if containerd is not None:
                group.create_task(containerd.run())
            pods = await _until_registered(config, node, client, clock)
            net = network(client, network_config(config, pods))
            await asyncio.to_thread(net.prepare)
            await _recall(config, runtime, net)
            await _run_parts(config, client, context, runtime, node, net, clock)
    except BaseExceptionGroup as group:
        if group.subgroup(NotAMember) is not None and containerd is not None:
            await evacuate(runtime)
        raise
    finally:
        await client.close()
        await runtime.close()


async def _recall(config: AgentConfig, runtime: CriRuntime, net: Network) -> None:
    try:
        await recall(runtime, net.roster, config.node_name)
    except RuntimeFailure as failure:
        _log.warning("what runs here is known only from the API for now: %s", failure)


async def evacuate(runtime: Runtime) -> None:
    """End every pod: the cluster has removed this node and runs them elsewhere. Their volumes' data stays."""
    _log.warning("this node is no member of the cluster any more: ending its pods")

    async def end(sandbox: str) -> None:
        try:
            ours = [made for made in await runtime.containers() if made.sandbox_id == sandbox]
            running = [made for made in ours if made.state is ContainerState.RUNNING]
            await asyncio.gather(*(runtime.stop_container(made.id, _LAST_GRACE_SECONDS) for made in running))
            await runtime.stop_sandbox(sandbox)
            await runtime.remove_sandbox(sandbox)
        except RuntimeFailure as failure:
            _log.warning("pod sandbox %s not removed: %s", sandbox, failure)

    try:
        await asyncio.gather(*(end(found.id) for found in await runtime.sandboxes()))
    except RuntimeFailure as failure:
        _log.warning("the pods cannot be ended: %s", failure)


class Outdated(MotetError):
    """What this process trusts is no longer what it should trust: it has to begin anew."""


async def _until_outdated(renewal: Renewal) -> None:
    await renewal.outdated.wait()
    raise Outdated("a root is no longer trusted: starting again without it")


async def _run_parts(
    config: AgentConfig,
    client: RemoteClient,
    shown: ssl.SSLContext,
    runtime: CriRuntime,
    node: NodeAgent,
    net: Network,
    clock: Clock,
) -> None:
    plugins = Plugins(config.kubelet, client, clock, config.node_name, lambda: node.uid)
    sources = ApiSources(client, clock)
    csi = CsiVolumes(config.kubelet, sources, clock, config.node_name, plugins.drivers)
    csi.announce, node.volumes_in_use = node.announce, csi.in_use
    made = build_tools(config, client, runtime, clock, net.roster, sources, csi)
    tools = replace(made, drained=net.drained)
    manager = Manager(client, tools)
    sampler = Sampler(manager, tools.cgroups, clock)
    server = AgentServer(
        manager,
        runtime,
        clock,
        sampler,
        config.node_name,
        insides=Insides(manager, tools.cgroups, clock),
        volumes=VolumeStats(tools, clock),
        address=config.address,
        settings=tuning.shown(config),
        images=image_routes(config, runtime, clock),
    )
    context = tls.server_context(config.certificate, config.key, config.ca)
    renewal = Renewal(NodeFiles(config.certificate.parent), client, clock, (shown, context))
    volumes = LocalVolumes(client, clock, config.node_name, config.volumes_dir, config.pods_dir)
    node.pressures = lambda: manager.pressures
    tidy = Tidy.of(config, manager, tools, clock, node.tell)
    static = StaticPods(config.manifests, config.node_name, manager, client, clock, lambda: node.uid)
    manager.static_source = static.found

    def changed(found: tuple[str, str, str]) -> None:
        resource, namespace, name = found
        sources.outdated(f"core/{resource}", namespace, name)
        manager.outdated(resource, namespace, name)

    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "the node's network": net.run,
        "events": tools.recorder.run,
        "pods": manager.run,
        "heartbeats": node.run,
        "local volumes": volumes.run,
        "CSI drivers": plugins.run,
        "static pods": static.run,
        "changes of what pods use": UsedChanges(client, clock, changed).run,
        "unused images": tidy.images.run,
        "figures": sampler.run,
        "eviction": tidy.evictor.run,
        "the agent's server": lambda: server.run(config.listen, config.port, context),
    }
    if config.certificate.name == NodeFiles(config.certificate.parent).pair.name:
        parts["the certificate"] = renewal.run
    try:
        async with asyncio.TaskGroup() as group:
            for name, run in parts.items():
                group.create_task(forever(name, run, log=_log, clock=clock), name=name)
            group.create_task(node.until_removed(), name="membership")
            group.create_task(_until_outdated(renewal), name="roots")
            await node.ready()
    finally:
        await tools.actions.close()


def build_tools(
    config: AgentConfig,
    client: Client,
    runtime: CriRuntime,
    clock: Clock,
    isolation: Isolation,
    sources: ApiSources,
    csi: CsiVolumes,
) -> Tools:
    """What the steps of pods work with on this node."""
    found = machine.look(config.data_dir)
    place = Place(
        config.node_name,
        config.addresses,
        found.cpus * 1000 - config.reserved_cpu_millis,
        # As the Node's allocatable says them.
        max(0, found.memory - config.reserved_memory) // 1024 * 1024,
        found.storage * 9 // 10,
    )
    pods = PodsConfig(
        place=place,
        pods_directory=config.pods_dir,
        logs_directory=config.logs_dir,
        cgroup_parent=f"{config.cgroup_root}/pods",
        dns=ClusterDns((str(config.dns_address),), config.domain, config.resolv_conf),
        pids_per_pod=config.pids_per_pod,
        starts_at_once=max(4, 2 * found.cpus),
        most_pods=config.max_pods,
        rotate_logs_at=config.rotate_logs_at,
        seccomp_profiles=config.data_dir / "seccomp",
        kept_logs=config.kept_logs,
        unsafe_sysctls=config.unsafe_sysctls,
    )
    return Tools(
        config=pods,
        client=client,
        runtime=runtime,
        clock=clock,
        recorder=EventRecorder(client, clock, "kubelet", config.node_name),
        sources=sources,
        volumes=Volumes(config.pods_dir, sources, place, csi),
        images=Images(runtime, sources),
        actions=Actions(runtime),
        cgroups=Cgroups(),
        isolation=isolation,
    )


def image_routes(config: AgentConfig, runtime: CriRuntime, clock: Clock) -> ImageRoutes:
    """What can be done with the images of this node."""
    shelf = Shelf(runtime, clock)
    return ImageRoutes(
        shelf,
        Transfer(shelf, runtime, clock, config.containerd.registry_dir),
        Builder(shelf, runtime, config.builder),
        Incoming(config.data_dir / "incoming"),
    )


# Of this node: pod networks of IPv4 and, in a dual-stack cluster, of IPv6.
PodNetworks = tuple[IPv4Network, IPv6Network | None]


def network_config(config: AgentConfig, pods: PodNetworks) -> NetworkConfig:
    own, own_six = pods
    six = None
    if own_six is not None and config.all_pods_six is not None and config.services_six is not None:
        six = SixConfig(own_six, config.all_pods_six, config.services_six)
    return NetworkConfig(
        node_name=config.node_name,
        pods=own,
        six=six,
        all_pods=config.all_pods,
        services=config.services,
        dns_address=config.dns_address,
        domain=config.domain,
        bridge=config.bridge,
        table=config.table,
        encrypted=config.encrypted,
        wireguard=config.wireguard,
        ingress=config.ingress,
        address=IPv4Address(config.address),
        cni_config=config.containerd.cni_conf_dir,
        cni_state=config.data_dir / "cni" / "networks",
    )


async def _until_registered(config: AgentConfig, node: NodeAgent, client: Client, clock: Clock) -> PodNetworks:
    """The node's pod networks, once the node is known to the API; the one of last time if the API is away."""
    remembered = config.data_dir / "pod-cidr"
    told, delay = "", _RETRY_FIRST
    while True:
        try:
            document = await node.register()
            while not (cidrs := _pod_networks(config, document.view(NodeView).spec)):
                told = _say_once(told, "waiting for the cluster to give this node a pod network")
                await clock.sleep(jitter.around(_RETRY))
                document = await client.get(node_kind.KIND, config.node_name)
            _remember(remembered, cidrs)
            return pair(cidrs)
        except ApiError as error:
            if error.reason == NOT_A_MEMBER:
                raise NotAMember(error.message) from error
            if remembered.exists():
                _log.warning("the API is away (%s): starting with what is known", error)
                return pair(remembered.read_text())
            told = _say_once(told, f"cannot register yet: {error}")
            await clock.sleep(jitter.around(delay))
            delay = min(delay * 2, _RETRY_LONGEST)


def _pod_networks(config: AgentConfig, spec: NodeSpec) -> str:
    """The node's own, separated by commas; empty as long as not all of them are given out."""
    cidrs = [each for each in spec.pod_cidrs or (spec.pod_cidr,) if each]
    if config.all_pods_six is None:
        return next((each for each in cidrs if ":" not in each), "")
    return ",".join(sorted(cidrs, key=lambda each: ":" in each)) if len(cidrs) > 1 else ""


def _remember(path: Path, cidr: str) -> None:
    """For a start while the API is away. That there is no room for it now keeps no node from working."""
    try:
        files.keep(path, cidr.encode())
    except OSError as error:
        _log.warning("the node's pod network cannot be remembered: %s", error)


def _say_once(told: str, message: str) -> str:
    if told != message:
        _log.info("%s", message)
    return message


async def run_until_told(config: AgentConfig) -> None:
    """`run_agent` until SIGTERM or SIGINT. Raises NotAMember when the cluster has removed this node."""
    running = asyncio.ensure_future(run_agent(config))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        _log.info("the agent has stopped; its pods run on")
    except BaseExceptionGroup as group:
        ended, rest = group.split((NotAMember, Outdated))
        if ended is None or rest is not None:
            raise
        raise _first(ended) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
