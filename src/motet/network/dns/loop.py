"""Keep the zone true to services and slices, and serve it on the node's name-server address."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from motet.client.interface import Client
from motet.kinds import endpointslice, service
from motet.network.config import NetworkConfig
from motet.network.dns.forward import Forwarder, ResolvConf
from motet.network.dns.server import DnsServer
from motet.network.dns.wire import Record
from motet.network.dns.zone import Zone, external_record, service_records
from motet.network.proxy.loop import SERVICE_LABEL, slices_of
from motet.network.proxy.views import ServiceView, SliceView
from motet.store.document import Document

_log = logging.getLogger(__name__)


class _Naming(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    external_name: str = ""
    publish_not_ready_addresses: bool = False


class _NamingView(msgspec.Struct, gc=False, frozen=True):
    spec: _Naming = _Naming()


class Dns:
    """The name server of one node."""

    def __init__(self, client: Client, config: NetworkConfig, port: int = 53) -> None:
        self._client = client
        self._config = config
        self._zone = Zone(config.domain, (config.all_pods, config.services))
        address = str(config.dns_address)
        machine = ResolvConf(Path("/etc/resolv.conf"), besides=(address,))
        forwarder = Forwarder((lambda: config.upstream) if config.upstream else machine)
        self._server = DnsServer(self._zone, forwarder, address, port)
        self._dirty: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        services = await self._client.table(service.KIND)
        slices = await self._client.table(endpointslice.KIND)
        ends = [services.listen(self._service_changed), slices.listen(self._slice_changed)]
        self._dirty.update((document.namespace, document.name) for document in services)
        self._wake.set()
        try:
            async with self._server.serving():
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    dirty, self._dirty = self._dirty, set()
                    for namespace, name in dirty:
                        found = services.get(name, namespace)
                        parts = slices_of(slices, namespace, name)
                        if self._zone.put((namespace, name), self._readable(found, parts)):
                            self._server.changed()
        finally:
            for end in ends:
                end()

    def _readable(self, found: Document | None, parts: list[Document]) -> list[Record]:
        """One service that makes no sense costs no other its name."""
        try:
            return self._records(found, parts)
        except (ValueError, msgspec.ValidationError) as error:
            _log.warning("%s has no names: %s", found, error)
            return []

    def _records(self, found: Document | None, parts: list[Document]) -> list[Record]:
        if found is None:
            return []
        naming = found.view(_NamingView).spec
        if found.view(ServiceView).spec.type == "ExternalName":
            return [external_record(found.name, found.namespace, naming.external_name, self._config.domain)]
        return list(
            service_records(
                found.name,
                found.namespace,
                found.view(ServiceView),
                [part.view(SliceView) for part in parts],
                self._config.domain,
                unready=naming.publish_not_ready_addresses,
            )
        )

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
