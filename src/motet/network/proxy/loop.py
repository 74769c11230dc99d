"""Keep the kernel's rules true to services, slices and host ports.

Changes mark one service or pod as dirty; what is dirty a moment later is recomputed and applied as one transaction. A
transaction that fails is followed by a full rewrite, so an error cannot leave the node half-programmed for long; so is
somebody else's transaction that touched our table, which the kernel's generation number gives away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from motet.base.ip import IPV4, IPV6
from motet.base.selectors import FieldSelector, FieldTerm, from_map
from motet.client.interface import Client
from motet.kinds import endpointslice, node, pod, service
from motet.network.config import NetworkConfig
from motet.network.proxy import conntrack, desired, healthchecks, mesh, sticky
from motet.network.proxy.conntrack import Forgetter
from motet.network.proxy.desired import Backends, Frontend, Routes
from motet.network.proxy.healthchecks import HealthChecks
from motet.network.proxy.listeners import listening
from motet.network.proxy.nft import Nft, NftError
from motet.network.proxy.ruleset import Choice, Ruleset, base
from motet.network.proxy.views import PodView, ServiceView, SliceView
from motet.store.document import Document, Key
from motet.store.table import Table

_log = logging.getLogger(__name__)

SERVICE_LABEL = "kubernetes.io/service-name"
_ZONE_LABEL = "topology.kubernetes.io/zone"
# Long enough to gather the slices of one rollout step, short beside a second.
_GATHER_SECONDS = 0.01
_LOOK_SECONDS = 2.0
# How often ports that a process of the node has are tried again, in looks.
_TRY_TAKEN_EVERY = 5


def _say_nothing(about: Document, message: str) -> None:
    pass


class Proxy:
    """The service proxy of one node, for the family of addresses that `config` is of.

    `warn(document, message)` tells of a service or pod that cannot have what it asks.
    """

    def __init__(
        self,
        client: Client,
        config: NetworkConfig,
        nft: Nft,
        warn: Callable[[Document, str], None] = _say_nothing,
        listeners: Callable[[], set[tuple[str, int]]] = listening,
    ) -> None:
        self._client = client
        self._config = config
        self._nft = nft
        self._warn = warn
        self._family = IPV4 if config.version == 4 else IPV6
        # A node is asked once for both families, and answers in both.
        self._checks = HealthChecks(self._tell, both=config.six is not None) if config.version == 4 else None
        self._listeners = listeners
        # The slices as this node knows them, once it does.
        self.slices: Table | None = None
        self._ruleset = Ruleset(config)
        self._forgetter = Forgetter(self._leads, config.version)
        self._generation = -1
        self._text = ""
        self._wanted: dict[Key, Routes] = {}
        # Who asks for a frontend; of several the oldest gets it.
        self._holders: dict[Frontend, set[Key]] = {}
        self._age: dict[Key, str] = {}
        # Who was told that somebody else has a frontend, and who that is.
        self._told: dict[tuple[Key, Frontend], Key] = {}
        # Ports that a process of the node had before anybody published them.
        self._taken: set[Frontend] = set()
        self._dirty: set[Key] = set()
        self._wake = asyncio.Event()
        self._mesh_changed = False
        self._zone = ""
        self._services: Table
        self._slices: Table
        self._pods: Table
        self._nodes: Table

    async def run(self) -> None:
        """Program the node until cancelled; the rules stay when this ends."""
        client, on_this_node = self._client, FieldTerm("spec.nodeName", self._config.node_name)
        self._services = await client.table(service.KIND)
        self._slices = self.slices = await client.table(endpointslice.KIND)
        self._pods = await client.table(pod.KIND, fields=FieldSelector((on_this_node,)))
        self._nodes = await client.table(node.KIND)
        self._look_at_zone()
        ends = [
            self._nodes.listen(self._node_changed),
            self._services.listen(self._changed),
            self._slices.listen(self._slice_changed),
            self._pods.listen(self._changed),
        ]
        try:
            self._dirty.update(document.key for table in (self._services, self._pods) for document in table)
            self._recompute()
            await self._rewrite()
            async with asyncio.TaskGroup() as group:
                if self._checks is not None:
                    group.create_task(self._checks.run())
                group.create_task(self._forgetter.run())
                await self._work()
        finally:
            for end in ends:
                end()

    async def _work(self) -> None:
        looks = 0
        while True:
            try:
                # Not wait_for: in Python 3.11 it forgets a cancellation that comes together with the event.
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                looks += 1
                await self._look()
                if self._taken and looks % _TRY_TAKEN_EVERY == 0:
                    await self._apply(set(self._taken))
                continue
            await asyncio.sleep(_GATHER_SECONDS)
            self._wake.clear()
            if self._mesh_changed:
                await self._connect()
            await self._apply(self._recompute())

    def _changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        self._dirty.add(document.key)
        self._wake.set()

    def _slice_changed(self, old: Document | None, new: Document | None) -> None:
        for document in (old, new):
            name = (document.meta.labels or {}).get(SERVICE_LABEL) if document else None
            if document and name:
                self._dirty.add(Key(service.KIND.resource, document.namespace, name))
                self._wake.set()

    def _node_changed(self, old: Document | None, new: Document | None) -> None:
        if self._look_at_zone():
            self._dirty.update(document.key for document in self._services)
            self._wake.set()
        if old is None or new is None or old.view(mesh.NodeView) != new.view(mesh.NodeView):
            self._mesh_changed = True
            self._wake.set()

    def _look_at_zone(self) -> bool:
        """Whether this node is in another zone than it was."""
        found, before = self._nodes.get(self._config.node_name), self._zone
        self._zone = (found.meta.labels or {}).get(_ZONE_LABEL, "") if found is not None else ""
        return self._zone != before

    def _mesh(self) -> mesh.Elements:
        self._mesh_changed = False
        return mesh.elements({each.name: each.view(mesh.NodeView) for each in self._nodes}, self._config)

    async def _connect(self) -> None:
        """Follow nodes that came, changed or went."""
        if commands := self._ruleset.connect(self._mesh()):
            try:
                self._commit(commands)
            except NftError as error:
                _log.error("%s; rewriting all rules", error)
                await self._rewrite()

    def _recompute(self) -> set[Frontend]:
        """Look again at everything dirty; gives the frontends whose answer may be another."""
        dirty, self._dirty = self._dirty, set()
        touched: set[Frontend] = set()
        for key in dirty:
            touched.update(self._claim(key, self._routes(key)))
        return touched

    async def _apply(self, touched: set[Frontend]) -> None:
        if not touched:
            return
        before = {frontend: self._ruleset.get(frontend) for frontend in touched}
        marks = {frontend: self._ruleset.number(frontend) for frontend, backends in before.items() if backends}
        unbound = self._bindings(before)
        added = self._answers(touched)
        commands = self._ruleset.change(touched - added.keys(), added)
        if not commands:
            return
        try:
            self._commit(commands)
            if "add rule" in commands:
                self._text = self._nft.text(self._config.table, self._config.family)
        except NftError as error:
            _log.error("%s; rewriting all rules", error)
            await self._rewrite()
        self._forgetter.forget(conntrack.changes(added, before, marks))
        await self._unbind(unbound - self._bindings({frontend: self._ruleset.get(frontend) for frontend in touched}))

    async def _rewrite(self) -> None:
        """All rules from nothing, but who is bound to which endpoint. Raises NftError when even that fails."""
        bound = await asyncio.to_thread(sticky.read, self._nft, self._config)
        self._ruleset = Ruleset(self._config)
        commands = self._ruleset.change((), self._answers(self._holders))
        kept = sticky.write(self._config, bound, self._ruleset)
        self._commit("\n".join((base(self._config), self._ruleset.connect(self._mesh()), commands, *kept)))
        self._text = self._nft.text(self._config.table, self._config.family)

    def _commit(self, commands: str) -> None:
        """One transaction, noticing whether anybody else's came between the last one of ours and this."""
        expected = self._generation + 1
        self._nft.run(commands)
        now = self._nft.generation()
        self._generation = now if now == expected else -1

    async def _look(self) -> None:
        """Somebody may have flushed the rules, or some of them: write them again."""
        generation = self._nft.generation()
        if generation == self._generation:
            return
        table, family = self._config.table, self._config.family
        try:
            text, counts = await asyncio.to_thread(
                lambda: (self._nft.text(table, family), self._nft.counts(table, family))
            )
        except NftError:
            _log.warning("table %s %s is gone; writing it again", family, table)
            await self._rewrite()
            return
        expected = self._ruleset.counts()
        if text != self._text or any(counts.get(name, 0) != count for name, count in expected.items()):
            _log.warning("somebody has changed table %s %s; writing it again", family, table)
            await self._rewrite()
            return
        self._generation = generation

    def _routes(self, key: Key) -> Routes:
        found = self._find(key)
        if found is None:
            self._age.pop(key, None)
            if self._checks is not None:
                self._checks.want(key, None)
            return {}
        self._age[key] = found.meta.creation_timestamp or ""
        try:
            if key.resource == pod.KIND.resource:
                return desired.of_pod(found.view(PodView), self._family)
            view, here = found.view(ServiceView), self._config.node_name
            parts = [part.view(SliceView) for part in slices_of(self._slices, key.namespace, key.name)]
            if self._checks is not None:
                self._checks.want(key, healthchecks.of_service(key, view, parts, here))
            return desired.of_service(view, parts, here, self._zone, self._family)
        except msgspec.ValidationError as error:
            _log.warning("%s is not served: %s", key, error)
            return {}

    def _leads(self, frontend: Frontend) -> Backends | None:
        """By the rules there are now, which a rewrite replaces."""
        return self._ruleset.get(frontend)

    def _claim(self, key: Key, routes: Routes) -> Iterable[Frontend]:
        """Note what `key` wants now; gives every frontend whose answer may be another."""
        old = self._wanted.pop(key, {})
        if routes:
            self._wanted[key] = routes
        for frontend in old.keys() - routes.keys():
            self._told.pop((key, frontend), None)
            holders = self._holders[frontend]
            holders.remove(key)
            if not holders:
                del self._holders[frontend]
        for frontend in routes.keys() - old.keys():
            self._holders.setdefault(frontend, set()).add(key)
        return {f for f in old.keys() | routes.keys() if old.get(f) != routes.get(f)}

    def _answers(self, frontends: Iterable[Frontend]) -> dict[Frontend, Backends]:
        """What these frontends lead to, without those that nobody wants or that a process of the node has."""
        answers: dict[Frontend, Backends] = {}
        listening: set[tuple[str, int]] | None = None
        for frontend in sorted(frontends):
            self._taken.discard(frontend)
            holders = self._holders.get(frontend)
            if not holders:
                continue
            key = min(holders, key=lambda holder: (self._age.get(holder, ""), holder))
            self._tell_held(frontend, key, holders - {key})
            backends = self._wanted[key][frontend]
            if not frontend.address and self._ruleset.get(frontend) is None:
                listening = self._listeners() if listening is None else listening
                if (frontend.protocol, frontend.port) in listening and not self._is_on_host(frontend, backends):
                    self._taken.add(frontend)
                    self._tell_taken(key, frontend)
                    continue
            answers[frontend] = backends
        return answers

    def _is_on_host(self, frontend: Frontend, backends: Backends) -> bool:
        """The process that listens may be the very endpoint, a pod in the node's own network."""
        pods = self._config.all_pods
        return any(
            port == frontend.port and desired.parsed(address) not in pods for address, port in backends.endpoints
        )

    def _tell_taken(self, key: Key, frontend: Frontend) -> None:
        where = f"{frontend.port}/{frontend.protocol.upper()}"
        node = self._config.node_name
        self._tell(key, f"Port {where} of node {node} belongs to a process there; it is published when that ends")

    def _tell_held(self, frontend: Frontend, by: Key, others: Iterable[Key]) -> None:
        where = f"{frontend.port}/{frontend.protocol.upper()}"
        place = f"of {frontend.address}" if frontend.address else f"of node {self._config.node_name}"
        kind = "Pod" if by.resource == pod.KIND.resource else "Service"
        for key in others:
            if not frontend.inside and self._told.get((key, frontend)) != by:
                self._told[key, frontend] = by
                self._tell(key, f"Port {where} {place} is held by {kind} {by.namespace}/{by.name}")

    def _tell(self, key: Key, message: str) -> None:
        if (found := self._find(key)) is not None:
            self._warn(found, message)

    def _find(self, key: Key) -> Document | None:
        return (self._pods if key.resource == pod.KIND.resource else self._services).get(key.name, key.namespace)

    def _bindings(self, frontends: dict[Frontend, Backends | None]) -> set[Choice]:
        return {
            (self._ruleset.number(frontend), *endpoint)
            for frontend, backends in frontends.items()
            if backends is not None and backends.sticky
            for endpoint in backends.endpoints
        }

    async def _unbind(self, gone: set[Choice]) -> None:
        """Clients must not be sent back to an endpoint that is no more."""
        if not gone:
            return
        kept = await asyncio.to_thread(sticky.listed, self._nft, self._config)
        commands = sticky.forget(self._config, kept, gone)
        if commands:
            self._commit(commands)


def slices_of(slices: Table, namespace: str, name: str) -> list[Document]:
    """The endpoint slices of one service."""
    return slices.select(namespace, from_map({SERVICE_LABEL: name}))
