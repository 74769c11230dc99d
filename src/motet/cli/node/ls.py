"""`motet node ls`: the machines and how they are."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from motet.cli import output, session
from motet.cli.node import nodes
from motet.cli.options import data_dir_option
from motet.client.interface import Client
from motet.kinds import ages
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.machine.layout import Machine

_COLOURS = {"ready": "green", "unknown": "red", "not ready": "red", "new": "yellow"}


class Row(msgspec.Struct, frozen=True):
    """One machine."""

    name: str
    role: str
    state: str
    availability: str
    address: str
    pods: int
    version: str
    age: str
    pod_network: str = ""
    os: str = ""
    detail: str = ""


@click.command()
@data_dir_option
@click.option("-q", "--quiet", is_flag=True, help="Print names alone.")
@output.output_option()
def command(data_dir: Path, quiet: bool, output: str) -> None:
    """List the machines of the cluster."""
    _list(data_dir, quiet, output)


def _list(data_dir: Path, quiet: bool, form: str) -> None:
    async def gather() -> list[Row]:
        settings = Machine(data_dir).settings()
        async with session.connected(data_dir) as client:
            return await rows(client, settings.node_name if settings else "", datetime.now(UTC))

    found = session.run(gather())
    if quiet:
        for row in found:
            click.echo(row.name)
    elif form in ("json", "yaml"):
        click.echo(output.structured(found, form))
    else:
        click.echo(table(found, wide=form == "wide"))


async def rows(client: Client, manager: str, now: datetime) -> list[Row]:
    """Every node. `manager` is the name of the one that manages."""
    counts: Counter[str] = Counter()
    for pod in await client.list(pod_kind.KIND):
        seen = pod.view(nodes.PodView)
        if seen.spec.node_name and not seen.finished:
            counts[seen.spec.node_name] += 1
    found = []
    for document in await client.list(node_kind.KIND):
        view = document.view(nodes.NodeView)
        found.append(
            Row(
                name=document.name,
                role="manager" if document.name == manager else "worker",
                state=view.state,
                availability=view.availability,
                address=view.address,
                pods=counts[document.name],
                version=view.status.node_info.kubelet_version,
                age=ages.since(document.meta.creation_timestamp, now),
                pod_network=view.spec.pod_cidr,
                os=view.status.node_info.os_image,
                detail=view.trouble,
            )
        )
    return found


def table(found: list[Row], *, wide: bool) -> str:
    header = ["NODE", "ROLE", "STATE", "AVAILABILITY", "ADDRESS", "PODS", "AGE"]
    header += ["VERSION", "POD-NETWORK", "OS"] if wide else []
    lines = []
    for row in found:
        line = [row.name, row.role, row.state, row.availability, row.address, str(row.pods), row.age]
        lines.append([*line, row.version, row.pod_network, row.os] if wide else line)
    text = output.table(header, lines)
    troubles = [f"{row.name}: {output.clean(row.detail)}" for row in found if row.detail]
    return "\n".join([text, *(output.paint(trouble, "yellow") for trouble in troubles)])
