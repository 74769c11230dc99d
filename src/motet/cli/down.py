"""`motet down`: end a project. Its volumes stay unless they are asked for too."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from motet.base import selectors
from motet.base.clock import Clock, SystemClock
from motet.base.errors import Forbidden, MotetError, NotFound
from motet.cli import project, session
from motet.cli.compose.translate import PROJECT, SERVICE
from motet.cli.interrupts import Interrupts
from motet.cli.options import data_dir_option
from motet.cli.progress import Line, Progress, chosen
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.kinds import configmap as config_kind
from motet.kinds import namespace as namespace_kind
from motet.kinds import network as network_kind
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.kinds import secret as secret_kind
from motet.kinds import service as service_kind
from motet.machine import lifecycle
from motet.machine.layout import Machine

# What a project is made of, besides its volumes; Apps first, so that nothing is started while the rest goes.
_PARTS = (app_kind.KIND, service_kind.KIND, secret_kind.KIND, config_kind.KIND)
_LOOK_EVERY = 0.1


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@project.project_option
@data_dir_option
@click.option("--volumes", is_flag=True, help="Remove the project's named volumes and all data in them, too.")
@click.option("--timeout", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds to wait.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(file: Path | None, project: str, data_dir: Path, volumes: bool, timeout: float, quiet: bool) -> None:
    """End the services of a Compose FILE's project (./compose.yaml by default). Named volumes stay."""
    _down(file, project, Machine(data_dir), volumes, timeout, quiet)


def _down(file: Path | None, name: str, machine: Machine, volumes: bool, timeout: float, quiet: bool) -> None:
    if file is not None and not file.exists():
        raise MotetError(f"{file} does not exist; name the project instead: motet down -p NAME")
    if file is not None and file.is_dir():
        file = project.found_file(file)
    lifecycle.require_root()
    session.run(_end(file, name, machine, volumes, timeout, quiet))


async def _end(file: Path | None, name: str, machine: Machine, volumes: bool, timeout: float, quiet: bool) -> None:
    async with session.connected(machine.data_dir) as client:
        name = project.named(name, file) or await project.select(client, "")
        if name not in await project.names(client):
            click.echo(f"nothing to do: there is no project {name}")
            return
        with Interrupts(), chosen(quiet=quiet) as progress:
            kept = await take_down(client, name, progress, SystemClock(), volumes=volumes, timeout=timeout)
    if kept is None:
        click.echo(f"{name} is gone{', and its volumes' if volumes else ''}")
    else:
        click.echo(f"{name} is down; volumes kept: {', '.join(kept)} (remove them: motet down -p {name} --volumes)")


async def take_down(
    client: Client, name: str, progress: Progress, clock: Clock, *, volumes: bool, timeout: float
) -> list[str] | None:
    """Delete a project and wait until it is gone; returns the volumes that were kept, or None when nothing is left.

    Raises MotetError when pods have not ended after `timeout` seconds, or others are on its networks.
    """
    progress.say(f"taking {name} down")
    ours = selectors.from_map({PROJECT: name})
    for kind in _PARTS:
        for document in await client.list(kind, name, labels=ours):
            with contextlib.suppress(NotFound):
                await client.delete(kind, document.name, name, propagation="Background")
    deadline = clock.monotonic() + timeout
    await _until_ended(client, name, progress, clock, deadline)
    await _remove_networks(client, name)
    claims = [document.name for document in await client.list(claim_kind.KIND, name)]
    if claims and not volumes:
        return claims
    progress.say("removing its volumes" if claims else "removing its namespace")
    with contextlib.suppress(NotFound):
        await client.delete(namespace_kind.KIND, name)
    while name in [document.name for document in await client.list(namespace_kind.KIND)]:
        if clock.monotonic() > deadline:
            raise MotetError(f"the namespace {name} is still being removed after {timeout:.0f} s; see: motet status")
        await clock.sleep(_LOOK_EVERY)
    return None


async def _remove_networks(client: Client, name: str) -> None:
    held = []
    for document in await client.list(network_kind.KIND, name, labels=selectors.from_map({PROJECT: name})):
        try:
            await client.delete(network_kind.KIND, document.name, name)
        except NotFound:
            continue
        except Forbidden as refused:
            held.append(refused.message)
    if held:
        raise MotetError("\n".join([*held, "  next: take down who is on it, and run motet down again"]))


async def _until_ended(client: Client, name: str, progress: Progress, clock: Clock, deadline: float) -> None:
    ours = selectors.from_map({PROJECT: name})
    left: dict[str, int] = {}
    while True:
        pods = await client.list(pod_kind.KIND, name, labels=ours)
        counts = dict.fromkeys(left, 0)
        for pod in pods:
            service = (pod.meta.labels or {}).get(SERVICE, pod.name)
            counts[service] = counts.get(service, 0) + 1
        left = counts
        progress.show(
            Line(service, "stopping", f"{count} pod{'s' * (count != 1)} left") if count else Line(service, "gone")
            for service, count in left.items()
        )
        if not pods:
            return
        if clock.monotonic() > deadline:
            names = ", ".join(pod.name for pod in pods)
            raise MotetError(f"these pods do not end: {names}; see: motet ps -a -p {name}")
        await clock.sleep(_LOOK_EVERY)
