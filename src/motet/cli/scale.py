"""`motet scale`: more or fewer of a service."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import click

from motet.base.clock import Clock, SystemClock
from motet.base.errors import MotetError
from motet.cli import output, project, services, session, waiting
from motet.cli.apply import states
from motet.cli.apply.states import AppView, ServiceState
from motet.cli.interrupts import Interrupts
from motet.cli.options import data_dir_option
from motet.cli.progress import Line, Progress, chosen
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.kinds import pod as pod_kind

_LOOK_EVERY = 1.0
_MOST = 100_000


@click.command()
@click.argument("wanted", nargs=-1, required=True, metavar="SERVICE=N...", shell_complete=services.complete)
@project.project_option
@data_dir_option
@click.option("--timeout", type=click.FloatRange(min=1), default=300, show_default=True, help="Seconds to wait.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(wanted: tuple[str, ...], project: str, data_dir: Path, timeout: float, quiet: bool) -> None:
    """Run N pods of each SERVICE, and wait until they are ready. The next `motet up` makes it what the file says."""
    session.run(_scale(parse(wanted), project, data_dir, timeout, quiet))


def parse(wanted: tuple[str, ...]) -> dict[str, int]:
    """Service -> number. Raises click.BadParameter."""
    numbers = {}
    for item in wanted:
        service, sign, digits = item.partition("=")
        if not service or not sign or not digits.isdecimal() or int(digits) > _MOST:
            raise click.BadParameter(f"expected SERVICE=N such as web=3, found {item!r}")
        numbers[service] = int(digits)
    return numbers


async def _scale(numbers: dict[str, int], name: str, data_dir: Path, timeout: float, quiet: bool) -> None:
    async with session.connected(data_dir) as client:
        name = await project.select(client, name)
        with Interrupts(), chosen(quiet=quiet) as progress:
            progress.say(f"scaling {name}")
            await resize(client, name, numbers)
            found = await settle(client, name, list(numbers), progress, SystemClock(), timeout)
    for service, state in found.items():
        click.echo(f"{service}: {output.paint(f'{state.ready}/{state.wanted}', 'green')} ready")


async def resize(client: Client, name: str, numbers: dict[str, int]) -> None:
    """Write the new sizes; nothing is written if one of them cannot be. Raises MotetError."""
    apps = dict(zip(numbers, await services.apps(client, name, list(numbers)), strict=True))
    everywhere = [service for service, app in apps.items() if app.view(AppView).everywhere]
    if everywhere:
        raise MotetError(f"{', '.join(everywhere)} runs on every node (mode: global) and cannot be scaled")
    for service, app in apps.items():
        patch = {"spec": {"mode": {"replicated": {"replicas": numbers[service]}}}}
        await client.patch(app_kind.KIND, app.name, patch, name)


async def settle(
    client: Client, name: str, wanted: list[str], progress: Progress, clock: Clock, timeout: float
) -> dict[str, ServiceState]:
    """Wait until all of these services are as they should be. Raises MotetError when one cannot be, or is late."""
    pods = await client.table(pod_kind.KIND, name)
    table = await client.table(app_kind.KIND, name)
    news = asyncio.Event()
    stops = [each.listen(lambda old, new: news.set()) for each in (pods, table)]
    deadline = clock.monotonic() + timeout
    try:
        while True:
            news.clear()
            found = {}
            for service, app in zip(wanted, await services.apps(client, name, wanted), strict=True):
                mine = [pod for pod in pods if (pod.meta.labels or {}).get(app_kind.LABEL) == app.name]
                found[service] = replace(states.judge(app, mine, clock.now()), name=service)
            progress.show(Line(service, state.phase.value, state.detail) for service, state in found.items())
            for service, state in found.items():
                if state.failure is not None:
                    raise MotetError(f"service {service}: {state.detail}; see: motet logs {service}")
            if all(state.settled for state in found.values()):
                return found
            if clock.monotonic() > deadline:
                slow = ", ".join(service for service, state in found.items() if not state.settled)
                raise MotetError(f"not ready after {timeout:.0f} s: {slow}; see: motet ps -a")
            await waiting.wait(news, clock, _LOOK_EVERY)
    finally:
        for stop in stops:
            stop()
