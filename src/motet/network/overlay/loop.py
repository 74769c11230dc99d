"""Keep the overlay true to the Node documents, and repair what somebody took away.

Changes of nodes and of the kernel's own tables only wake the loop; it then looks at both as a whole and applies the
difference. Talking to the kernel happens in a thread, since pyroute2 cannot share the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from ipaddress import IPv4Address

from motet.client.interface import Client
from motet.kinds import node
from motet.network import kernelwatch
from motet.network.bridge import NetworkError
from motet.network.config import NetworkConfig
from motet.network.overlay import kernel, peers
from motet.network.overlay.decide import OVERHEAD, Device, decide
from motet.network.wireguard import decide as wireguard
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

# A burst of changes (nodes joining, a device going away) is one step.
_GATHER_SECONDS = 0.1
_RESYNC_SECONDS = 30.0


class Overlay:
    """The way to other nodes' pods, of one node."""

    def __init__(self, client: Client, config: NetworkConfig) -> None:
        self._client = client
        self._config = config
        self._wake = asyncio.Event()
        self._told: tuple[str, ...] = ()
        self._peers: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Repair until cancelled; the way to others stays when this ends."""
        if self._config.address is None:
            raise NetworkError("the node has no address for other nodes to reach it by")
        nodes = await self._client.table(node.KIND)
        end = nodes.listen(self._changed)
        try:
            with kernelwatch.changes(self._wake.set):
                while True:
                    await self._step(nodes)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_RESYNC_SECONDS):
                            await self._wake.wait()
                        await asyncio.sleep(_GATHER_SECONDS)
                    self._wake.clear()
        finally:
            end()

    def _changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or new is None or old.view(peers.NodeView) != new.view(peers.NodeView):
            self._wake.set()

    async def _step(self, nodes: Table) -> None:
        config = self._config
        views = [(document.name, document.view(peers.NodeView)) for document in nodes]
        found, complaints = peers.of_families(views, config)
        if complaints != self._told:
            self._told = complaints
            for complaint in complaints:
                _log.error("%s; its pods cannot be reached from here", complaint)
        names = frozenset(peer.name for peer in found)
        taken = await asyncio.to_thread(synchronize, config, found)
        if taken and names == self._peers:
            _log.warning("the overlay was damaged; repaired in %d steps", taken)
        elif names != self._peers:
            _log.info("pods of %d other nodes are within reach", len(names))
        self._peers = names


def synchronize(config: NetworkConfig, found: tuple[peers.Peer, ...]) -> int:
    """Make the kernel hold the way to `found`; returns the number of steps it took. Blocking. Raises NetworkError."""
    if config.address is None:
        raise NetworkError("the node has no address for other nodes to reach it by")
    local: IPv4Address = config.address
    mtu = kernel.mtu_below(config.address) - OVERHEAD
    if config.encrypted:
        # From bridge to bridge, which is a way through WireGuard.
        local, mtu = IPv4Address(config.gateway), mtu - wireguard.OVERHEAD
        ends = {peer.name: IPv4Address(peer.pods[1]) for peer in found if peer.pods.version == 4}
        found = tuple(replace(peer, address=ends[peer.name]) for peer in found)
    device = Device(config.overlay, config.vni, config.vxlan_port, local, peers.mac_of(config.pods), mtu)
    steps = decide(device, [each.gateway for each in config.families()], found, kernel.observe(config.overlay))
    kernel.apply(config.overlay, steps)
    return len(steps)
