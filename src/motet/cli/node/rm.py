"""`motet node rm`: a machine is no longer part of the cluster."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli import session
from motet.cli.node import nodes
from motet.cli.options import data_dir_option
from motet.client.remote import RemoteClient
from motet.kinds import node as node_kind
from motet.machine.layout import Machine


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=nodes.complete)
@click.option("--force", is_flag=True, help="Even if it is alive.")
@data_dir_option
def command(names: tuple[str, ...], force: bool, data_dir: Path) -> None:
    """Remove a NODE from the cluster. It loses its access at once, and its pods are replaced elsewhere."""

    async def work() -> None:
        settings = Machine(data_dir).settings()
        async with session.connected(data_dir) as client:
            for name in names:
                if settings is not None and settings.node_name == name:
                    raise MotetError(
                        f"{name} is this machine, the cluster's manager; to end the cluster: motet leave --force"
                    )
                await remove(client, name, force=force)
                click.echo(f"{name} is removed")

    session.run(work())


async def remove(client: RemoteClient, name: str, *, force: bool) -> None:
    """Raises MotetError for a node that is alive, unless `force`."""
    document = await nodes.find(client, name)
    if not force and document.view(nodes.NodeView).state in ("ready", "not ready"):
        raise MotetError(
            f"node {name!r} is alive: run `motet leave` on it, or remove it with --force (its machine then loses its "
            "access, and should be cleaned with `motet leave --force`)"
        )
    await client.delete(node_kind.KIND, name, uid=document.meta.uid)
