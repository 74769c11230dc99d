"""Keep names true to services, slices and Networks, and serve them on the node's name-server address.

Every node, and every pod of a cluster without Networks, sees the one common view. From the first Network on, each set of Networks
that a pod of this node is on has a view of its own, and so have the pods on none; a view exists while somebody sees it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import msgspec

from motet.base.ip import Network
from motet.client.interface import Client
from motet.kinds import attachments, endpointslice, service
from motet.kinds.network import NetworkSpec
from motet.network.config import NetworkConfig
from motet.network.dns.audience import SOMEBODY, Audience, Named, Told, audience_of, everything, told, told_of_pod
from motet.network.dns.forward import Forwarder, ResolvConf
from motet.network.dns.server import DnsServer
from motet.network.dns.view import View
from motet.network.dns.zone import Zone
from motet.network.policy.views import Pod
from motet.network.proxy.desired import parsed
from motet.network.proxy.loop import SERVICE_LABEL, slices_of
from motet.network.proxy.views import ServiceView, SliceView
from motet.network.roster import Roster
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

# A change of pods is looked at with all those that come with it.
_GATHER_SECONDS = 0.02
_UNKNOWN = NetworkSpec(internal=True)
Name = tuple[str, str]


class _Naming(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    external_name: str = ""
    publish_not_ready_addresses: bool = False


class _NamingView(msgspec.Struct, gc=False, frozen=True):
    spec: _Naming = _Naming()


class Dns:
    """The name server of one node."""

    def __init__(self, client: Client, config: NetworkConfig, roster: Roster, port: int = 53) -> None:
        self._client = client
        self._config = config
        self._roster = roster
        if config.dns_address is None:
            raise ValueError("the name server has no address")
        address = str(config.dns_address)
        machine = ResolvConf(Path("/etc/resolv.conf"), besides=(address,))
        forwarder = Forwarder((lambda: config.upstream) if config.upstream else machine)
        self._common = View(self._zone())
        self._server = DnsServer(self._common, forwarder, address, port)
        # By whom they ask, for pods that want others asked than the node does.
        self._forwarders: dict[tuple[str, ...], Forwarder] = {}
        self._people = _People([each.all_pods for each in config.families()])
        # The views of pods once there are Networks; and what of the roster they were made from.
        self._views: dict[Audience, View] = {}
        self._seen = -1
        self._own: object = None
        self._rousing: asyncio.Task[None] | None = None
        self._dirty: set[Name] = set()
        self._wake = asyncio.Event()
        self._services: Table
        self._slices: Table

    def _zone(self) -> Zone:
        families = self._config.families()
        return Zone(self._config.domain, [network for each in families for network in (each.all_pods, each.services)])

    async def run(self) -> None:
        """Serve until cancelled."""
        self._services = (await self._client.remembered(service.KIND)).table
        self._slices = (await self._client.remembered(endpointslice.KIND)).table
        await self._roster.loaded()
        ends = [
            self._services.listen(self._service_changed),
            self._slices.listen(self._slice_changed),
            self._roster.listen(self._roster_changed),
        ]
        self._dirty.update((document.namespace, document.name) for document in self._services)
        self._roster_changed()
        try:
            async with self._server.serving():
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    if not self._roster.idle:
                        self._rouse()
                        if self._seen != self._roster.revision:
                            await asyncio.sleep(_GATHER_SECONDS)
                            self._follow_roster()
                    dirty, self._dirty = self._dirty, set()
                    for name in dirty:
                        self._put(name, (None, *self._views))
        finally:
            for end in ends:
                end()
            for forwarder in self._forwarders.values():
                await forwarder.close()
            if self._rousing is not None:
                self._rousing.cancel()
                await asyncio.gather(self._rousing, return_exceptions=True)

    def _rouse(self) -> None:
        """Have the roster learn everybody, and answer meanwhile from what is known: the API may be away for long."""
        if not self._roster.knows_everyone and (self._rousing is None or self._rousing.done()):
            self._rousing = asyncio.create_task(self._roster.awake(), name="the pods of other nodes")

    # --- names --------------------------------------------------------------------------------------------------------

    def _put(self, name: Name, audiences: tuple[Audience | None, ...]) -> None:
        """Make every one of these views, None being the common one, true to one service."""
        found = self._named(name)
        if self._views and found is not None:
            self._people.follow(name, found)
        for audience in audiences:
            view = self._common if audience is None else self._views[audience]
            _fill(view, name, self._records(found, audience))

    def _named(self, name: Name) -> Named | None:
        document = self._services.get(name[1], name[0])
        if document is None:
            self._people.forget(name)
            return None
        try:
            naming = document.view(_NamingView).spec
            return Named(
                document.name,
                document.namespace,
                document.view(ServiceView),
                [part.view(SliceView) for part in slices_of(self._slices, *name)],
                naming.publish_not_ready_addresses,
                naming.external_name,
                attachments.of(document.meta.annotations, document.namespace),
            )
        except msgspec.ValidationError as error:
            _log.warning("%s has no names: %s", document, error)
            return None

    def _records(self, named: Named | None, audience: Audience | None) -> Told:
        """One service that makes no sense costs no other its name."""
        if named is None:
            return Told()
        try:
            if audience is None:
                return Told(everything(named, self._config.domain))
            return told(named, audience, self._people.who, self._config.domain)
        except ValueError as error:
            _log.warning("service %s/%s has no names: %s", named.namespace, named.name, error)
            return Told()

    def _service_changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        self._dirty.add((document.namespace, document.name))
        self._wake.set()

    def _slice_changed(self, old: Document | None, new: Document | None) -> None:
        for document in (old, new):
            name = (document.meta.labels or {}).get(SERVICE_LABEL) if document else None
            if document and name:
                self._dirty.add((document.namespace, name))
                self._wake.set()

    # --- who asks -----------------------------------------------------------------------------------------------------

    def _roster_changed(self) -> None:
        """A pod of this node may ask as soon as it runs, so its view is there at once; the rest follows in its turn."""
        self._wake.set()
        self._follow_servers()
        if self._roster.idle:
            self._server.askers.clear()
            self._views.clear()
            return
        own = self._roster.own()
        if own is self._own and self._views:
            return
        self._own = own
        wanted = {pod.address: audience_of(pod) for pod in own}
        if not self._views:
            # The first Network: from now on it matters whose addresses lead where.
            self._people.know(self._roster.everyone())
            for document in self._services:
                if (found := self._named((document.namespace, document.name))) is not None:
                    self._people.follow((document.namespace, document.name), found)
        for audience in {Audience(), *wanted.values()} - self._views.keys():
            self._open(audience)
        for audience in self._views.keys() - {Audience(), *wanted.values()}:
            del self._views[audience]
        self._server.askers = {address: self._views[audience] for address, audience in wanted.items()}

    def _follow_servers(self) -> None:
        wanted = self._roster.name_servers()
        known = {each: kept for each, kept in self._forwarders.items() if kept.busy}
        for servers in wanted.values():
            known[servers] = self._forwarders.get(servers) or _forwarder(servers)
        self._forwarders = known
        self._server.forwarders = {address: known[servers] for address, servers in wanted.items()}

    def _open(self, audience: Audience) -> None:
        view = self._views[audience] = View(self._zone(), self._zone() if audience.networks else None)
        view.close(self._closed(audience))
        self._people.know(self._roster.everyone())
        for document in self._services:
            name = document.namespace, document.name
            _fill(view, name, self._records(self._named(name), audience))
        for address, pod in self._people.places():
            _fill(view, address, told_of_pod(pod, address, audience, self._config.domain))

    def _closed(self, audience: Audience) -> bool:
        """Pods that are on internal networks alone have no way out, not by names either."""
        known = self._roster.networks
        return bool(audience.networks) and all(known.get(key, _UNKNOWN).internal for key in audience.networks)

    def _follow_roster(self) -> None:
        """What changed of others: which services that concerns, and their own names."""
        if not self._views or self._seen == self._roster.revision:
            return
        self._seen = self._roster.revision
        for audience, view in self._views.items():
            view.close(self._closed(audience))
        self._people.know(self._roster.everyone())
        for address in self._people.moved():
            self._dirty |= self._people.behind(address)
            pod = self._people.who(address)
            for audience, view in self._views.items():
                told_now = told_of_pod(pod, address, audience, self._config.domain) if pod is not None else Told()
                _fill(view, address, told_now)


def _forwarder(servers: tuple[str, ...]) -> Forwarder:
    return Forwarder(lambda: servers)


class _People:
    """Who is at which address, and which services lead there."""

    def __init__(self, all_pods: Sequence[Network]) -> None:
        self._all_pods = all_pods
        # By each of their addresses.
        self._pods: dict[str, Pod] = {}
        self._leads: dict[Name, frozenset[str]] = {}
        self._behind: dict[str, set[Name]] = {}
        self._moved: set[str] = set()

    def places(self) -> Iterable[tuple[str, Pod]]:
        return self._pods.items()

    def know(self, everyone: list[Pod]) -> None:
        """These are all pods now."""
        fresh = {pod.address: pod for pod in everyone}
        fresh |= {pod.second: pod for pod in everyone if pod.second}
        old, self._pods = self._pods, fresh
        self._moved.update(
            address for address in old.keys() | fresh.keys() if _on(old.get(address)) != _on(fresh.get(address))
        )

    def moved(self) -> set[str]:
        """The addresses at which somebody else is than when this was last asked, or on other Networks."""
        moved, self._moved = self._moved, set()
        return moved

    def who(self, address: str) -> Pod | None:
        """An address of the pods' that nobody is known to have yet is somebody's."""
        found = self._pods.get(address)
        if found is None and self._is_pods(address):
            return SOMEBODY
        return found

    def _is_pods(self, address: str) -> bool:
        try:
            return any(parsed(address) in network for network in self._all_pods)
        except ValueError:  # a name
            return False

    def behind(self, address: str) -> set[Name]:
        return self._behind.get(address, set())

    def follow(self, name: Name, named: Named) -> None:
        """A service leads there now."""
        now = frozenset(named.addresses())
        before = self._leads.get(name, frozenset())
        for address in before - now:
            self._behind[address].discard(name)
        for address in now - before:
            self._behind.setdefault(address, set()).add(name)
        self._leads[name] = now

    def forget(self, name: Name) -> None:
        for address in self._leads.pop(name, frozenset()):
            self._behind[address].discard(name)


def _on(pod: Pod | None) -> tuple[str, attachments.Attachments] | None:
    return (pod.namespace, pod.networks) if pod is not None else None


def _fill(view: View, owner: Hashable, found: Told) -> None:
    changed = view.zone.put(owner, found.own)
    if view.elsewhere is not None:
        changed |= view.elsewhere.put(owner, found.elsewhere)
    if changed:
        view.changed()
