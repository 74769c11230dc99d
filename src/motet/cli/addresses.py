"""Where the services of a project can be reached from outside."""

from __future__ import annotations

import msgspec

from motet.cli.compose.translate import SERVICE
from motet.cli.portviews import PodView, ServiceView
from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.kinds import service as service_kind
from motet.store.document import Document


class Published(msgspec.Struct, frozen=True):
    """One port on the outside of a service."""

    address: str
    port: int
    target: int | str
    protocol: str

    @property
    def url(self) -> str:
        """As one types it: TCP ports are most often HTTP."""
        where = f"{self.address}:{self.port}"
        return f"http://{where}" if self.protocol == "TCP" else f"{where}/udp"

    @property
    def short(self) -> str:
        """`8080->80/tcp`."""
        return f"{self.port}->{self.target}/{self.protocol.lower()}"


def of_service(document: Document, address: str) -> list[Published]:
    """The outside ports of one Service."""
    spec = document.view(ServiceView).spec
    found = []
    for port in spec.ports or ():
        number = {"LoadBalancer": port.port, "NodePort": port.node_port}.get(spec.type, 0)
        if number:
            found.append(Published(address, number, port.target_port, port.protocol))
    return found


def of_pod(document: Document, address: str) -> list[Published]:
    """The host ports of one pod."""
    view = document.view(PodView)
    return [
        Published(port.host_ip or view.status.host_ip or address, port.host_port, port.container_port, port.protocol)
        for container in view.spec.containers
        for port in container.ports or ()
        if port.host_port
    ]


async def published(client: Client, namespace: str, address: str) -> dict[tuple[str, str], list[Published]]:
    """(namespace, service) -> its outside ports, for one project or (with an empty namespace) all."""
    found: dict[tuple[str, str], list[Published]] = {}
    services = await client.list(service_kind.KIND, namespace)
    pods = await client.list(pod_kind.KIND, namespace)
    for documents, read in ((services, of_service), (pods, of_pod)):
        for document in documents:
            owner = (document.meta.labels or {}).get(SERVICE)
            if owner is not None:
                entries = found.setdefault((document.namespace, owner), [])
                entries += [item for item in read(document, address) if item not in entries]
    return found


async def of_project(client: Client, name: str, address: str) -> dict[str, list[str]]:
    """Service name -> addresses to open."""
    return {
        service: [item.url for item in items]
        for (_, service), items in (await published(client, name, address)).items()
        if items
    }
