"""`motet leave`: this machine stops being a node, and nothing of Motet is left on it."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import NOT_A_MEMBER, ApiError, MotetError, Unavailable
from motet.cli import session
from motet.cli.options import data_dir_option
from motet.identity.node_files import NodeFiles
from motet.machine import joining, lifecycle
from motet.machine.layout import Machine, Settings


@click.command()
@click.option(
    "--force", is_flag=True, help="Leave even if the cluster cannot be told, or if the cluster ends with this machine."
)
@data_dir_option
def command(force: bool, data_dir: Path) -> None:
    """Leave the cluster: it runs this machine's pods elsewhere, and everything of Motet is removed from here.

    Moves nothing gently: `motet node drain` on a manager does that first.
    """
    lifecycle.require_root()
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        raise MotetError("this machine belongs to no cluster")
    if settings.is_manager and not force:
        raise MotetError(
            "this machine manages the cluster: if it leaves, the cluster ends, with every app on it. "
            "To do that: motet leave --force"
        )
    session.run(_leave(machine, settings, force))
    click.echo(
        "This machine has left; nothing of Motet is left on it." if not settings.is_manager else "The cluster is gone."
    )


async def _leave(machine: Machine, settings: Settings, force: bool) -> None:
    if not settings.is_manager:
        await _tell(machine, settings, force)
    await lifecycle.remove(machine)


async def _tell(machine: Machine, settings: Settings, force: bool) -> None:
    """Have the cluster forget this node. Raises MotetError when no manager can be told, unless `force`."""
    context = NodeFiles(machine.node_pki).context()
    why: Exception = MotetError("it has no certificate that can be used")
    for server in settings.servers if context is not None else ():
        assert context is not None
        try:
            await joining.leave(server, context)
            return
        except Unavailable as error:
            why = error
        except ApiError as error:
            if error.reason == NOT_A_MEMBER:
                return
            why = error
    if not force:
        raise MotetError(
            f"the cluster cannot be told that this machine leaves: {why}\n"
            f"  next: motet leave --force, and on a manager: motet node rm --force {settings.node_name}"
        )
