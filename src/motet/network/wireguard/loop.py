"""Keep WireGuard true to the Node documents, and the node's key fresh; repair what somebody took away.

Changes of nodes and of the kernel's own tables only wake the loop; it then looks at everything and applies the difference.
Nothing tells when somebody takes a peer out of WireGuard's own hands, so it looks every few seconds anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from motet.base.clock import Clock, SystemClock
from motet.base.errors import ApiError
from motet.client.interface import Client
from motet.kinds import network, node
from motet.network import kernelwatch
from motet.network.bridge import NetworkError
from motet.network.config import NetworkConfig
from motet.network.overlay import peers
from motet.network.overlay.kernel import mtu_below
from motet.network.wireguard import kernel, keys
from motet.network.wireguard.config import WireguardConfig
from motet.network.wireguard.decide import OVERHEAD, Rule, Second, Tunnel, Wanted, decide, dismantle, silent, wanted
from motet.network.wireguard.engine import Absent, Engine, choose
from motet.network.wireguard.keys import Held, KeyFiles
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

_MAIN_TABLE = 254
# A burst of changes (nodes joining, a device going away) is one step.
_GATHER_SECONDS = 0.05
_RESYNC_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
# How long a peer may be silent before that is worth a word.
_PATIENCE_SECONDS = 60.0


class Wireguard:
    """The encrypted way to other nodes' pods, of one node: for everything, or for what concerns encrypted Networks.

    `warn(message)` tells people what they should know.
    """

    def __init__(
        self,
        client: Client,
        config: NetworkConfig,
        clock: Clock | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._client = client
        self._config = config
        self._clock = clock or SystemClock()
        self._warn = warn
        self._wake = asyncio.Event()
        self._engine: Engine | None = None
        # Whether it is known that nothing of it is there.
        self._clear = False
        self._told: tuple[str, ...] = ()
        self._trouble = ""
        self._wanted = Wanted()
        # Since when, by key.
        self._silent: dict[str, float] = {}

    async def run(self) -> None:
        """Repair until cancelled; sessions and routes stay when this ends. Raises NetworkError."""
        config = self._config.wireguard
        if self._config.address is None or config is None:
            raise NetworkError("the node has no address for other nodes to reach it by, or nowhere to keep its keys")
        nodes, networks = await self._client.table(node.KIND), await self._client.table(network.KIND)
        ends = [nodes.listen(self._node_changed), networks.listen(self._network_changed)]
        try:
            with kernelwatch.changes(self._wake.set):
                while True:
                    pause = await self._turn(nodes, networks, config)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wake.wait()
                        await asyncio.sleep(_GATHER_SECONDS)
                    self._wake.clear()
        finally:
            for end in ends:
                end()

    def _node_changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or new is None or old.view(peers.NodeView) != new.view(peers.NodeView):
            self._wake.set()

    def _network_changed(self, old: Document | None, new: Document | None) -> None:
        if _encrypted(old) != _encrypted(new):
            self._wake.set()

    async def _turn(self, nodes: Table, networks: Table, config: WireguardConfig) -> float:
        """Look and repair once; after how many seconds to look again."""
        try:
            if self._config.encrypted or any(_encrypted(document) for document in networks):
                self._clear = False
                held = await self._keys(nodes, config)
                await self._step(nodes, held, config)
            elif not self._clear:
                await self._end(config)
                self._clear = True
        except NetworkError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.error("%s", error)
                self._warn(str(error))
            return _AGAIN_SECONDS
        self._trouble = ""
        return _RESYNC_SECONDS

    async def _keys(self, nodes: Table, config: WireguardConfig) -> Held:
        """Take the next step of the node's own key, and return what it holds then. Raises OSError."""
        files = KeyFiles(config.keys, lambda: self._clock.now().timestamp())
        held = await asyncio.to_thread(files.load)
        own = nodes.get(self._config.node_name)
        if own is None:
            return held
        match keys.decide(held, own.view(peers.NodeView).key, config.key_seconds):
            case keys.Publish(public):
                await self._publish(public)
            case keys.Make() | keys.Adopt() as step:
                await asyncio.to_thread(files.take, step)
                _log.info("another WireGuard key %s", "is made" if isinstance(step, keys.Make) else "is in use")
                self._wake.set()
            case None:
                return held
        return await asyncio.to_thread(files.load)

    async def _publish(self, public: str) -> None:
        note = {"metadata": {"annotations": {node.WIREGUARD_KEY: public}}}
        try:
            await self._client.patch(node.KIND, self._config.node_name, note)
        except ApiError as error:
            _log.warning("the node's WireGuard key is not published yet: %s", error)

    async def _step(self, nodes: Table, held: Held, config: WireguardConfig) -> None:
        engine = await self._chosen(config)
        views = [(document.name, document.view(peers.NodeView)) for document in nodes]
        found, complaints = peers.of_families(views, self._config)
        peered = wanted(found, held.current.public, config.port)
        complaints = (*complaints, *peered.complaints)
        if complaints != self._told:
            self._told = complaints
            for complaint in complaints:
                _log.error("%s; its pods cannot be reached from here", complaint)
        now = self._clock.now().timestamp()
        taken, quiet = await asyncio.to_thread(synchronize, self._config, engine, held, peered, now)
        if taken and peered == self._wanted:
            _log.warning("the encrypted way to other nodes was damaged; repaired in %d steps", taken)
        elif peered != self._wanted:
            _log.info("pods of %d other nodes are within reach through %s", len(peered.remotes), engine.title)
        self._wanted = peered
        self._tell_of(quiet, {peer.key: peer.name for peer in found}, config.port)

    def _tell_of(self, quiet: frozenset[str], names: dict[str, str], port: int) -> None:
        """Once for each node that has not answered for a while."""
        now = self._clock.monotonic()
        for key in self._silent.keys() - quiet:
            del self._silent[key]
        for key in quiet:
            since = self._silent.setdefault(key, now)
            if now - since >= _PATIENCE_SECONDS:
                self._silent[key] = float("inf")
                _log.warning(
                    "node %s does not answer through WireGuard: is it up, and may UDP port %d pass?", names[key], port
                )

    async def _chosen(self, config: WireguardConfig) -> Engine:
        """The engine, looked for again while there is none."""
        if self._engine is None or isinstance(self._engine, Absent):
            try:
                self._engine = await asyncio.to_thread(choose, config)
            except NetworkError:
                if self._config.encrypted:
                    raise
                self._engine = Absent(config.device)
        return self._engine

    async def _end(self, config: WireguardConfig) -> None:
        """There is no encrypted Network, or none any more."""
        engine = await self._chosen(config)
        await asyncio.to_thread(_dismantle, self._config, config, engine)
        self._engine, self._wanted = None, Wanted()
        self._silent.clear()


def _encrypted(document: Document | None) -> bool:
    return document is not None and document.view(network.NetworkView).spec.encrypted


def _dismantle(config: NetworkConfig, wireguard: WireguardConfig, engine: Engine) -> None:
    own = tunnel(config, wireguard, "")
    kernel.apply(own, engine, {}, dismantle(kernel.observe(own, engine)))


def synchronize(
    config: NetworkConfig, engine: Engine, held: Held, peered: Wanted, now: float
) -> tuple[int, frozenset[str]]:
    """Make kernel and engine hold the way to these peers; how many steps it took, and whose sessions are missing.

    Blocking. Raises NetworkError.
    """
    if config.wireguard is None:
        raise NetworkError("the node has nowhere to keep its WireGuard keys")
    own = tunnel(config, config.wireguard, held.current.public)
    there = kernel.observe(own, engine)
    steps = decide(own, peered, there, now)
    kernel.apply(own, engine, {held.current.public: held.current}, steps)
    return len(steps), silent(peered, there, now)


def tunnel(config: NetworkConfig, wireguard: WireguardConfig, key: str) -> Tunnel:
    """The node's own end. `key` is its public one."""
    return Tunnel(
        name=wireguard.device,
        key=key,
        port=wireguard.port,
        mtu=mtu_below(config.address) - OVERHEAD,
        gateway=config.gateway,
        pods=config.pods,
        all_pods=config.all_pods,
        table=wireguard.table,
        rules=tuple(rule for each in config.families() for rule in _rules(each, wireguard)),
        six=Second(six.gateway, six.pods, six.all_pods) if (six := config.ipv6) is not None else None,
    )


def _rules(config: NetworkConfig, wireguard: WireguardConfig) -> tuple[Rule, ...]:
    """What is led into the tunnel: all that is for pods but what keeps a client's address, or only what is marked."""
    first, second = kernel.RANKS
    version = config.version
    if config.encrypted:
        spared = Rule(first, _MAIN_TABLE, mark=wireguard.spared, version=version)
        return spared, Rule(second, wireguard.table, to=config.all_pods, version=version)
    return (Rule(second, wireguard.table, mark=wireguard.mark, version=version),)
