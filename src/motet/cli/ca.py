"""`motet ca`: the root of all trust in the cluster."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from motet.base.errors import ApiError, MotetError
from motet.cli import join_token, session
from motet.cli.node.nodes import NodeView
from motet.cli.options import data_dir_option
from motet.cli.progress import Line, Progress, chosen
from motet.identity import rotation, signing
from motet.identity.authority import Authority
from motet.identity.messages import ROOTS_ANNOTATION, Roots
from motet.identity.rotation import Stage
from motet.kinds import node as node_kind
from motet.machine import lifecycle
from motet.machine.layout import Machine, Settings

_LOOK_EVERY = 0.5


@click.group()
def command() -> None:
    """Look after the cluster's own certificate authority."""


@command.command()
@click.option("--timeout", type=click.FloatRange(min=1), default=300, show_default=True, help="Seconds for each step.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@data_dir_option
def rotate(timeout: float, quiet: bool, data_dir: Path) -> None:
    """Replace the root certificate, and with it every certificate in the cluster. No container is restarted. The root by
    which servers of extension APIs know the manager is replaced along with it.

    Can be run again when it was interrupted: it goes on where it was. Kubeconfig files that were copied away, and join
    tokens, have to be fetched anew afterwards. Nodes that are away meanwhile have to join again.
    """
    machine, settings = session.managed(data_dir)
    with chosen(quiet=quiet) as progress:
        token = session.run(_rotate(machine, settings, timeout, progress))
    click.echo(f"The root is new. Fetch kubeconfigs anew: motet kubeconfig. To add a machine:\n\n  {token}")


@command.command("rotate-token-key")
@click.option("--forget-old", is_flag=True, help="Make no new key; let none count but the one that signs now.")
@data_dir_option
def rotate_token_key(forget_old: bool, data_dir: Path) -> None:
    """Sign the tokens of service accounts with a new key. Nothing is restarted.

    What the old key signed still counts, until you run this again with --forget-old: an hour later no pod has such a
    token any more, and tokens in Secrets are made anew within five minutes of that.
    """
    machine, _ = session.managed(data_dir)
    if forget_old:
        click.echo(f"{signing.forget(machine.token_keys)} old keys count no more.")
    else:
        click.echo(f"New tokens are signed by {signing.rotate(machine.token_keys)}.")
        click.echo("  next, in an hour: motet ca rotate-token-key --forget-old")


async def _rotate(machine: Machine, settings: Settings, timeout: float, progress: Progress) -> str:
    pki = machine.pki
    rotation.repair_all(pki)
    await lifecycle.bring_up(machine, settings, progress.say)
    if rotation.stage(pki) is Stage.NONE:
        rotation.prepare_all(pki)
    if rotation.stage(pki) is Stage.PREPARED:
        await _taken(machine, settings, timeout, progress, "everybody learns to trust the new root")
        rotation.switch_all(pki)
    await _taken(machine, settings, timeout, progress, "everybody gets a certificate of the new root")
    rotation.finish_all(pki)
    await _taken(machine, settings, timeout, progress, "everybody forgets the old root")
    async with lifecycle.connect(machine, settings) as client:
        return join_token.line(await join_token.fetch(client, "worker"))


async def _taken(machine: Machine, settings: Settings, timeout: float, progress: Progress, what: str) -> None:
    """Take the files into use here, and return when every living node has the roots they say. Raises MotetError."""
    progress.say(what)
    authority = Authority.load(machine.pki)
    wanted = Roots(authority.pem.decode(), authority.bundle.decode()).digest
    await asyncio.to_thread(lifecycle.stop, machine)
    await lifecycle.bring_up(machine, settings, lambda text: None)
    deadline = time.monotonic() + timeout
    while True:
        waiting = await _waiting(machine, settings, wanted)
        progress.show([Line(name, "starting", what) for name in waiting])
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise MotetError(
                f"these nodes have not followed after {timeout:.0f} s ({what}): {', '.join(waiting)}\n"
                "  next: motet ca rotate to go on waiting, or motet node rm NODE and again to leave them behind"
            )
        await asyncio.sleep(_LOOK_EVERY)


async def _waiting(machine: Machine, settings: Settings, wanted: str) -> list[str]:
    """Living nodes that have other roots. This machine's own gets its roots when its agent starts."""
    try:
        async with lifecycle.connect(machine, settings) as client:
            found = await client.list(node_kind.KIND)
    except ApiError:
        return ["the manager"]
    return [
        node.name
        for node in found
        if (node.meta.annotations or {}).get(ROOTS_ANNOTATION) != wanted
        and node.view(NodeView).state in ("ready", "not ready")
    ]
