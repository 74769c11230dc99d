"""Networks of other projects that a file names (`external`): which Network of the cluster is meant by each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from motet.base.errors import MotetError
from motet.cli.compose.model import Network, Project
from motet.cli.compose.translate import NETWORK_NAME, object_name
from motet.client.interface import Client
from motet.kinds import network as network_kind
from motet.kinds.attachments import NetworkKey
from motet.kinds.network import NetworkView
from motet.store.document import Document


async def resolve(client: Client, project: Project) -> Mapping[str, NetworkKey]:
    """The Networks that external ones of the file are, by their keys. Raises MotetError with every problem there is."""
    external = [network for network in project.networks if network.external]
    if not external:
        return {}
    there = await client.list(network_kind.KIND)
    found: dict[str, NetworkKey] = {}
    problems: list[str] = []
    for network in external:
        where = f"{project.file}:{network.line}: networks.{network.key}"
        match meant(network.name, there):
            case []:
                problems.append(f"{where}: network {network.name} declared as external, but could not be found")
            case [one]:
                found[network.key] = NetworkKey(one.namespace, one.name)
                if not _open(one, project.name):
                    problems.append(f"{where}: {_closed(network, one)}")
            case several:
                listed = ", ".join(f"{each.namespace}/{each.name}" for each in several)
                problems.append(f"{where}: the name {network.name} could mean {listed}")
    if problems:
        raise MotetError("\n".join(problems))
    return found


def meant(name: str, there: Iterable[Document]) -> list[Document]:
    """The Networks of that name: one that a project calls so, else one that was made by hand."""
    by_name = [each for each in there if (each.meta.annotations or {}).get(NETWORK_NAME) == name]
    if by_name:
        return by_name
    return [
        each for each in there if each.name == object_name(name) and NETWORK_NAME not in (each.meta.annotations or {})
    ]


def _open(found: Document, project: str) -> bool:
    return found.namespace == project or found.view(NetworkView).spec.lets_in(project)


def _closed(network: Network, found: Document) -> str:
    return (
        f"network {network.name} ({found.namespace}/{found.name}) lets no other project in\n"
        f"  next: write `attachable: true` for it in the file that makes it"
    )
