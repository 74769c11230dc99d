"""`motet exec`: a command in a running service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli import project, services, session
from motet.cli.apply.states import PodView
from motet.cli.options import data_dir_option
from motet.cli.terminal.attach import attach
from motet.client import channels
from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.store.document import Document


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@project.project_option
@data_dir_option
@click.option(
    "--index", type=click.IntRange(min=1), help="Which pod, by its number. [default: the first that is ready]"
)
@click.option("-T", "--no-tty", is_flag=True, help="No terminal, even if this is one.")
@click.argument("service", shell_complete=services.complete)
@click.argument("arguments", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED)
def command(
    project: str, data_dir: Path, index: int | None, no_tty: bool, service: str, arguments: tuple[str, ...]
) -> None:
    """Run COMMAND in a pod of SERVICE. The exit code is that of the command."""
    if arguments[0] == "--":  # as kubectl's users type it
        arguments = arguments[1:]
    if not arguments:
        raise click.UsageError("no COMMAND to run")
    tty = sys.stdin.isatty() and sys.stdout.isatty() and not no_tty
    sys.exit(session.run(_exec(project, data_dir, service, index, arguments, tty)))


async def _exec(name: str, data_dir: Path, service: str, index: int | None, arguments: Sequence[str], tty: bool) -> int:
    async with session.connected(data_dir) as client:
        name = await project.select(client, name)
        pod = await pick(client, name, service, index)
        query = channels.parameters(arguments, "", stdin=True, tty=tty)
        path = pod_kind.KIND.path(name, pod.name, "exec")
        socket = await client.websocket(path, query, [channels.NAME])
        try:
            return await attach(socket, stdin=True, tty=tty)
        finally:
            await socket.close()


async def pick(client: Client, name: str, service: str, index: int | None) -> Document:
    """The pod of a service to run something in. Raises MetotError when none runs."""
    (app,) = await services.apps(client, name, [service])
    running = [
        pod for pod in await services.pods(client, name, app.name) if pod.view(PodView).status.phase == "Running"
    ]
    if index is not None:
        wanted = f"{app.name}-{index}"
        running = [pod for pod in running if services.short_name(pod) == wanted]
        if not running:
            raise MotetError(f"service {service} has no running pod number {index}; see: motet ps -a")
    if not running:
        raise MotetError(f"no pod of service {service} runs; see: motet ps -a")
    return next((pod for pod in running if pod.view(PodView).ready), running[0])
