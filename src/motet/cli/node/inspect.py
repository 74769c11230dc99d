"""`motet node inspect`: everything about one machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from motet.cli import output, session
from motet.cli.node import nodes
from motet.cli.options import data_dir_option
from motet.kinds import ages
from motet.kinds.node import WIREGUARD_KEY
from motet.store.document import Document


@click.command()
@click.argument("name", metavar="NODE", shell_complete=nodes.complete)
@data_dir_option
@output.output_option("text", "json", "yaml")
def command(name: str, data_dir: Path, output: str) -> None:
    """Show a NODE: what it is, how it is, and what it may be used for."""
    _inspect(name, data_dir, output)


def _inspect(name: str, data_dir: Path, form: str) -> None:
    async def fetch() -> Document:
        async with session.connected(data_dir) as client:
            return await nodes.find(client, name)

    document = session.run(fetch())
    if form == "text":
        click.echo(describe(document, datetime.now(UTC)))
    else:
        click.echo(output.structured(document.decode(), form))


def _encryption(document: Document) -> str:
    key = (document.meta.annotations or {}).get(WIREGUARD_KEY)
    return f"WireGuard, public key {output.clean(key)}" if key else "none"


def describe(document: Document, now: datetime) -> str:
    """What people want to know of a node, a line each."""
    view = document.view(nodes.NodeView)
    info, capacity = view.status.node_info, view.status.capacity or {}
    facts = [
        ("Name", document.name),
        ("State", f"{view.state}{f' ({output.clean(view.trouble)})' if view.trouble else ''}"),
        ("Availability", view.availability),
        ("Address", view.address),
        ("Pod network", ", ".join(view.spec.pod_cidrs or (view.spec.pod_cidr,))),
        ("Encryption", _encryption(document)),
        ("Age", ages.since(document.meta.creation_timestamp, now)),
        ("CPUs", str(capacity.get("cpu", ""))),
        ("Memory", str(capacity.get("memory", ""))),
        ("Most pods", str(capacity.get("pods", ""))),
        ("System", f"{info.os_image}, kernel {info.kernel_version}, {info.architecture}"),
        ("Runtime", info.container_runtime_version),
        ("Motet", info.kubelet_version),
        ("Taints", ", ".join(f"{each.key}:{each.effect}" for each in view.spec.taints or ())),
        ("Labels", ", ".join(f"{key}={value}" for key, value in sorted((document.meta.labels or {}).items()))),
    ]
    width = max(len(title) for title, _ in facts) + 2
    return "\n".join(f"{title + ':':<{width}}{value or '-'}" for title, value in facts)
