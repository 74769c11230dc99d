"""The network of one node put together: bridge, CNI, the way to other nodes, service proxy, policies and names.

Each part is restarted on its own if it fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from motet.base.clock import SystemClock
from motet.base.supervise import forever
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.kinds import pod
from motet.network import bridge, cni, firewall
from motet.network.bridge import NetworkError
from motet.network.config import NetworkConfig
from motet.network.dns.loop import Dns
from motet.network.ingress import engine as ingress_engine
from motet.network.ingress.loop import Ingresses
from motet.network.ipv6 import without_ipv6
from motet.network.overlay import kernel
from motet.network.overlay.decide import OVERHEAD
from motet.network.overlay.loop import Overlay
from motet.network.policy import guard, ruleset
from motet.network.policy.loop import Policies
from motet.network.proxy.draining import until_drained
from motet.network.proxy.loop import Proxy
from motet.network.proxy.nft import Nft, NftError
from motet.network.roster import Roster
from motet.network.wireguard import decide, engine, links, userspace
from motet.network.wireguard.kernel import remove_standing
from motet.network.wireguard.loop import Wireguard
from motet.store.document import Document

_log = logging.getLogger(__name__)

_REPAIR_SECONDS = 10.0


class NodeNetwork:
    """Everything of the network that a node runs."""

    def __init__(self, client: Client, config: NetworkConfig) -> None:
        self._client = client
        self._config = config
        # Which pods there are; whoever starts pods here enters them.
        self.roster = Roster(client, config.node_name, lambda sandbox: cni.port_of(config, sandbox))
        self._clock = SystemClock()
        self._serving: Proxy | None = None

    def prepare(self) -> None:
        """What must be there before the first pod. Raises NetworkError."""
        if self._config.six is not None and (problem := without_ipv6()):
            raise NetworkError(f"this is a dual-stack cluster, and {problem} on this machine")
        if self._config.encrypted:
            if self._config.wireguard is None:
                raise NetworkError("the node has nowhere to keep its WireGuard keys")
            engine.choose(self._config.wireguard)
        if not self._config.mtu:
            # What fits into either tunnel, so that pods need not begin anew when a Network is encrypted; or into one in the other.
            headers = OVERHEAD + decide.OVERHEAD if self._config.encrypted else max(OVERHEAD, decide.OVERHEAD)
            self._config = replace(self._config, mtu=kernel.mtu_below(self._config.address) - headers)
        cni.write(self._config, bridge.ensure(self._config))
        firewall.ensure(Nft(), self._config)

    async def run(self) -> None:
        """Serve until cancelled. Rules, bridge and running pods' connections outlive it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(forever("the service proxy", self._proxy, log=_log))
            group.create_task(forever("the name server", self._dns, log=_log))
            if self._config.address is not None:
                group.create_task(forever("the way to other nodes", self._overlay, log=_log))
                if self._config.wireguard is not None:
                    group.create_task(forever("the encrypted way to other nodes", self._wireguard, log=_log))
            group.create_task(forever("policies and Networks", self._policies, log=_log))
            if self._config.ingress is not None:
                group.create_task(forever("Ingresses", self._ingresses, log=_log))
            group.create_task(forever("repairing the bridge", self._repair, log=_log))

    async def drained(self, namespace: str, uid: str, longest: float) -> None:
        """Return when no node begins connections to this pod any more, and after `longest` seconds anyway."""
        slices = self._serving.slices if self._serving is not None else None
        if slices is not None:
            await until_drained(slices, namespace, uid, self._clock, longest)

    @staticmethod
    def remove(config: NetworkConfig) -> None:
        """Leave nothing behind in the kernel. Raises NftError, NetworkError."""
        nft = Nft()
        firewall.remove(nft, config)
        nft.remove_table(config.table)
        nft.run(ruleset.remove(config))
        with contextlib.suppress(NftError):  # a kernel may not know the bridge family
            nft.run(guard.remove(config))
        kernel.remove(config.overlay)
        if config.wireguard is not None:
            links.remove(config.wireguard.device)
            userspace.end(config.wireguard)
            remove_standing(config.wireguard.table)
        if config.ingress is not None:
            ingress_engine.end(config.ingress)
        bridge.remove(config)

    async def _proxy(self) -> None:
        events = EventRecorder(self._client, self._clock, "motet-proxy", self._config.node_name)

        def warn(about: Document, message: str) -> None:
            kind = "Pod" if about.key.resource == pod.KIND.resource else "Service"
            events.event(About.document(about, "v1", kind), WARNING, "PortTaken", message)

        async with asyncio.TaskGroup() as group:
            group.create_task(forever("the service proxy's events", events.run, log=_log))
            self._serving = Proxy(self._client, self._config, Nft(), warn)
            if (six := self._config.ipv6) is not None:
                group.create_task(Proxy(self._client, six, Nft(), warn).run())
            await self._serving.run()

    async def _dns(self) -> None:
        await Dns(self._client, self._config, self.roster).run()

    async def _overlay(self) -> None:
        await Overlay(self._client, self._config).run()

    async def _wireguard(self) -> None:
        name = self._config.node_name
        events = EventRecorder(self._client, self._clock, "motet-wireguard", name)

        def warn(message: str) -> None:
            events.event(About("v1", "Node", name, uid=name), WARNING, "WireguardTrouble", message)

        async with asyncio.TaskGroup() as group:
            group.create_task(forever("the encrypted way's events", events.run, log=_log))
            await Wireguard(self._client, self._config, self._clock, warn).run()

    async def _policies(self) -> None:
        await Policies(self._client, self._config, Nft(), self.roster).run()

    async def _ingresses(self) -> None:
        config = self._config
        if config.ingress is None:
            return
        events = EventRecorder(self._client, self._clock, "motet-ingress", config.node_name)
        async with asyncio.TaskGroup() as group:
            group.create_task(forever("the events of Ingresses", events.run, log=_log))
            await Ingresses(self._client, config.node_name, config.ingress, self._clock, events).run()

    async def _repair(self) -> None:
        nft = Nft()
        ports: frozenset[str] = frozenset()
        while True:
            ports = await asyncio.to_thread(bridge.repair, self._config, ports)
            await asyncio.to_thread(firewall.ensure, nft, self._config)
            await asyncio.sleep(_REPAIR_SECONDS)
