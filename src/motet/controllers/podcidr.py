"""Pod address ranges: every node gets one block of the cluster's pod network, and keeps it as long as it lives."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Iterator

from motet.base.clock import Clock
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers.loop import Controller, TryAgain
from motet.controllers.nodes import NodeView
from motet.kinds import node as node_kind
from motet.store.table import Table

# How large a node's block is, by version of IP.
_PREFIXES = {4: 24, 6: 64}
_log = logging.getLogger("motet.controllers.podcidr")


def next_block(network: str, prefix: int, taken: Iterable[str]) -> str:
    """The lowest block of `prefix` bits in `network` that overlaps none of `taken`; empty when all are.

    Raises ValueError for a network or block that is not one.
    """
    used = [ipaddress.ip_network(each) for each in taken]
    exact = {each for each in used if each.prefixlen == prefix}
    others = [each for each in used if each.prefixlen != prefix]
    for block in ipaddress.ip_network(network).subnets(new_prefix=prefix):
        if block not in exact and not any(block.overlaps(each) for each in others):
            return str(block)
    return ""


class PodCidrs:
    """The loop over nodes without a block. One at a time, so that no block is given twice."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        events: EventRecorder,
        networks: tuple[str, ...] = ("10.42.0.0/16",),
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._networks = networks
        self._nodes: Table

    async def run(self) -> None:
        """Give out blocks until cancelled."""
        self._nodes = await self._client.table(node_kind.KIND)
        loop: Controller[str] = Controller("pod-cidr", self.reconcile, clock=self._clock, parallelism=1)
        loop.watch(self._nodes, lambda old, new: (new.name,) if new and not new.view(NodeView).spec.pod_cidr else ())
        await loop.run()

    async def reconcile(self, name: str) -> None:
        """Give one node its block. Backs off while there is none left."""
        document = self._nodes.get(name)
        if document is None or document.view(NodeView).spec.pod_cidr:
            return
        blocks = []
        for network in self._networks:
            prefix = _PREFIXES[ipaddress.ip_network(network).version]
            block = next_block(network, prefix, self._taken(network))
            if not block:
                message = f"Node {name} status is now: CIDRNotAvailable"
                self._events.event(About.document(document, "v1", "Node"), WARNING, "CIDRNotAvailable", message)
                raise TryAgain(f"no /{prefix} left in {network}")
            blocks.append(block)
        patch = {
            "metadata": {"resourceVersion": document.meta.resource_version},
            "spec": {"podCIDR": blocks[0], "podCIDRs": blocks},
        }
        await self._client.patch(node_kind.KIND, name, patch)
        _log.info("node %s has the pod addresses %s", name, " and ".join(blocks))

    def _taken(self, network: str) -> Iterator[str]:
        """The blocks that nodes have of the family of `network`."""
        for node in self._nodes:
            spec = node.view(NodeView).spec
            for block in spec.pod_cidrs or (spec.pod_cidr,):
                if block and (":" in block) == (":" in network):
                    yield block
