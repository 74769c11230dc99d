"""`motet node update`: availability and labels, in Swarm's words."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli import session
from motet.cli.node import drain, label, nodes
from motet.cli.options import data_dir_option
from motet.cli.progress import chosen


@click.command()
@click.argument("name", metavar="NODE", shell_complete=nodes.complete)
@click.option(
    "--availability", type=click.Choice((nodes.ACTIVE, nodes.PAUSE, nodes.DRAIN)), help="What it is used for."
)
@click.option("--label-add", "added", multiple=True, metavar="KEY=VALUE", help="Set a label; may be repeated.")
@click.option("--label-rm", "removed", multiple=True, metavar="KEY", help="Take a label away; may be repeated.")
@click.option("--role", type=click.Choice(("worker", "manager")), help="Change its role.")
@data_dir_option
def command(
    name: str,
    availability: str | None,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    role: str | None,
    data_dir: Path,
) -> None:
    """Change what a NODE may be used for, and its labels."""
    if role is not None:
        raise MotetError("a node's role cannot be changed yet: there is one manager per cluster for now")
    labels = label.parse((*added, *(f"{key}-" for key in removed)))
    if availability is None and not labels:
        raise click.UsageError("nothing to change: pass --availability, --label-add or --label-rm")

    async def work() -> None:
        async with session.connected(data_dir) as client:
            if labels:
                await nodes.change(client, name, labels)
            if availability == nodes.DRAIN:
                with chosen() as progress:
                    await drain.drain(client, name, drain.Wanted(force=True), progress)
            elif availability is not None:
                await nodes.make(client, name, availability)

    session.run(work())
    click.echo(f"{name} is updated")
