"""`motet logs`: what services say, all their pods together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from motet.base.clock import SystemClock
from motet.base.timestamps import parse_time
from motet.cli import output, project, services, session
from motet.cli.compose import units
from motet.cli.logstream import follow
from motet.cli.logstream.follow import Query
from motet.cli.logstream.lines import LogLine, Writer
from motet.cli.options import data_dir_option


@click.command()
@click.argument("wanted", nargs=-1, metavar="[SERVICE...]", shell_complete=services.complete)
@project.project_option
@data_dir_option
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Only the last lines of each pod.")
@click.option("--since", default="", metavar="TIME", help="Only what is newer: 10m, 1h30m, or 2026-01-31T10:20:30Z.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
def command(
    wanted: tuple[str, ...],
    project: str,
    data_dir: Path,
    following: bool,
    tail: int | None,
    since: str,
    timestamps: bool,
) -> None:
    """Print the logs of the SERVICEs, or of all services of the project."""
    query = parse(tail, since)
    writer = Writer(times=timestamps, colours=output.colourful(sys.stdout))
    try:
        session.run(_logs(wanted, project, data_dir, query, writer, following))
    except* BrokenPipeError:
        # The reader has seen enough (| head). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(tail: int | None, since: str) -> Query:
    """What the options mean. Raises click.BadParameter."""
    if not since:
        return Query(tail)
    try:
        if "T" in since:
            parse_time(since)
            return Query(tail, since_time=since)
        return Query(tail, max(1, units.seconds(since)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error


async def _logs(
    wanted: tuple[str, ...], name: str, data_dir: Path, query: Query, writer: Writer, following: bool
) -> None:
    async with session.connected(data_dir) as client:
        name = await project.select(client, name)
        apps = [app.name for app in await services.apps(client, name, wanted)]
        pods = [pod for app in apps for pod in await services.pods(client, name, app)]
        writer.announce(services.short_name(pod) for pod in pods)

        def write(lines: Iterable[LogLine]) -> None:
            for line in lines:
                sys.stdout.buffer.write(writer.text(line))
            sys.stdout.buffer.flush()

        if following:
            await follow.follow(client, name, frozenset(apps), query, SystemClock(), write)
        else:
            write(await follow.read(client, pods, query))
