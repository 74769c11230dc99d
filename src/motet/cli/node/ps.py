"""`motet node ps`: what runs on a machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from motet.cli import output, session
from motet.cli.node import nodes
from motet.cli.options import data_dir_option
from motet.client.interface import Client
from motet.kinds import ages


class Row(msgspec.Struct, frozen=True):
    """One pod."""

    namespace: str
    name: str
    state: str
    age: str


@click.command()
@click.argument("name", metavar="NODE", shell_complete=nodes.complete)
@data_dir_option
@output.output_option("table", "json", "yaml")
def command(name: str, data_dir: Path, output: str) -> None:
    """List the pods on a NODE."""
    _ps(name, data_dir, output)


def _ps(name: str, data_dir: Path, form: str) -> None:
    async def gather() -> list[Row]:
        async with session.connected(data_dir) as client:
            await nodes.find(client, name)
            return await rows(client, name, datetime.now(UTC))

    found = session.run(gather())
    if form != "table":
        click.echo(output.structured(found, form))
    elif not found:
        click.echo(f"nothing runs on {name}", err=True)
    else:
        lines = [[row.namespace, row.name, row.state, row.age] for row in found]
        click.echo(output.table(["NAMESPACE", "POD", "STATE", "AGE"], lines))


async def rows(client: Client, name: str, now: datetime) -> list[Row]:
    """The pods bound to a node."""
    found = []
    for pod in await nodes.pods_on(client, name):
        view = pod.view(nodes.PodView)
        state = "Terminating" if pod.meta.deletion_timestamp is not None else view.status.reason or view.status.phase
        found.append(Row(pod.namespace, pod.name, state, ages.since(pod.meta.creation_timestamp, now)))
    return found
