"""`motet up`: a cluster on this machine if there is none, and a Compose project running on it, completely or not at all."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from motet.base.clock import SystemClock
from motet.base.errors import MotetError
from motet.cli import addresses, doctor, output, project, session
from motet.cli import rebalance as rebalancing
from motet.cli.apply import externals, hostpaths, images, networks, ports, trouble
from motet.cli.apply.orphans import orphans, remove
from motet.cli.apply.run import Outcome, Run, UpFailed
from motet.cli.build.images import build_images
from motet.cli.compose.model import Project
from motet.cli.compose.translate import documents, object_name
from motet.cli.interrupts import Interrupts
from motet.cli.options import data_dir_option
from motet.cli.progress import Line, Progress, chosen
from motet.cli.project import Written
from motet.client.interface import Client
from motet.client.remote import RemoteClient
from motet.kinds import namespace as namespace_kind
from motet.kinds import pod as pod_kind
from motet.kinds import service as service_kind
from motet.machine import lifecycle
from motet.machine.layout import Machine


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    machine: Machine
    timeout: float
    remove_orphans: bool
    rebalance: bool
    quiet: bool
    form: str


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="A file to lay over it.")
@click.option("--profile", "profiles", multiple=True, metavar="NAME", help="Run the services of this profile, too.")
@click.option("--env-file", "env_files", multiple=True, type=click.Path(path_type=Path), help="Variables, not of .env.")
@project.project_option
@data_dir_option
@click.option("--timeout", type=click.FloatRange(min=1), default=300, show_default=True, help="Seconds to wait.")
@click.option("--remove-orphans", is_flag=True, help="Remove services that are no longer in the file.")
@click.option("--rebalance", is_flag=True, help="Then spread its pods over the nodes there are now, one at a time.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@output.output_option("text", "json", "yaml")
def command(
    file: Path | None,
    files: tuple[Path, ...],
    profiles: tuple[str, ...],
    env_files: tuple[Path, ...],
    project: str,
    data_dir: Path,
    timeout: float,
    remove_orphans: bool,
    rebalance: bool,
    quiet: bool,
    output: str,
) -> None:
    """Run the services of a Compose FILE (./compose.yaml by default), and wait until all of them work.

    What does not come up is taken back, and the reason is printed. Run it again after changing the file: only what
    changed is replaced, and nothing moves to nodes that came meanwhile unless you say --rebalance.
    """
    written = Written(((file,) if file else ()) + files, profiles, env_files)
    _up(written, project, Options(Machine(data_dir), timeout, remove_orphans, rebalance, quiet, output))


def _up(written: Written, name: str, options: Options) -> None:
    wanted = project.load(written, name)
    lifecycle.require_root()
    doctor.require(options.machine)
    session.run(_bring_up(wanted, options))


async def _bring_up(wanted: Project, options: Options) -> None:
    interrupts = Interrupts()
    with interrupts, chosen(quiet=options.quiet) as progress:
        progress.say("looking at this machine")
        settings = await lifecycle.ensure(options.machine, progress.say)
        async with lifecycle.connect(options.machine, settings) as client:
            outcome = await _apply(client, wanted, options, progress)
            left = await orphans(client, wanted)
            if left and options.remove_orphans:
                progress.say(f"removing {', '.join(left)}")
                await remove(client, wanted)
            if options.rebalance:
                spread = await rebalancing.rebalance(client, wanted.name, progress, SystemClock(), options.timeout)
            else:
                spread = await rebalancing.foresee(client, wanted.name)
            published = await addresses.of_project(client, wanted.name, settings.address)
    _report(wanted, options, outcome, published, left)
    if options.form == "text":
        _tell_balance(wanted, options, spread)


def _tell_balance(wanted: Project, options: Options, spread: rebalancing.Outcome) -> None:
    if options.rebalance:
        click.echo(rebalancing.told(spread, dry_run=False))
    elif spread.moved:
        click.echo(
            f"{len(spread.moved)} pods could lie more evenly over the nodes there are now: "
            f"motet rebalance -n {wanted.name}",
            err=True,
        )


async def _apply(client: RemoteClient, wanted: Project, options: Options, progress: Progress) -> Outcome:
    await _refuse_strangers(client, wanted)
    await _refuse_taken_ports(client, wanted)
    joined = await networks.resolve(client, wanted)
    wanted = await externals.resolve(client, wanted)
    made = await _images(wanted, options, progress)
    progress.say(f"bringing up {wanted.name}")
    folders = hostpaths.make(wanted)
    run = Run(client, wanted, documents(wanted, made, joined), progress, SystemClock(), options.timeout)
    try:
        return await run.up()
    except UpFailed as failed:
        progress.say("taking it back")
        explained = await trouble.explain(client, wanted.name, failed)
        undone = await run.undo()
        hostpaths.remove(folders)
        raise MotetError("\n".join([explained, *undone.failed, undone.sentence()])) from failed
    except asyncio.CancelledError:
        progress.say("interrupted: taking back what was begun (again to stop at once)")
        undone = await asyncio.shield(asyncio.ensure_future(run.undo()))
        hostpaths.remove(folders)
        click.echo(f"interrupted; {undone.sentence()}", err=True)
        raise


async def _images(wanted: Project, options: Options, progress: Progress) -> Mapping[str, str]:
    shown: dict[str, Line] = {}

    def tell(service: str, what: str) -> None:
        state = "pulling" if what.startswith("pulling") else "building"
        shown[service] = Line(service, state, what.removeprefix(state).lstrip(" ,"))
        progress.show(shown.values())

    socket = session.containerd_socket(options.machine)
    progress.say("fetching images")
    await images.fetch(wanted, socket, tell)
    if any(service.build for service in wanted.services):
        progress.say("building images")
    return await build_images(wanted, options.machine.builder, socket, tell)


async def _refuse_strangers(client: Client, wanted: Project) -> None:
    """A namespace of that name which is no project belongs to somebody else. Raises MotetError."""
    known = [item.name for item in await client.list(namespace_kind.KIND)]
    if wanted.name in known and wanted.name not in await project.names(client):
        raise MotetError(
            f"the namespace {wanted.name!r} exists and is not a Compose project; choose another name with -p NAME"
        )


async def _refuse_taken_ports(client: Client, wanted: Project) -> None:
    asked = ports.wanted(wanted)
    if not asked:
        return
    services, pods = await asyncio.gather(client.list(service_kind.KIND), client.list(pod_kind.KIND))
    here = ports.taken_here(port for port, _ in asked)
    problems = ports.conflicts(wanted, ports.taken(services, pods), here)
    if problems:
        step = "  next: publish another port in the file (`ports`), or stop what has it"
        raise MotetError("\n".join([*problems, step]))


def _report(
    wanted: Project, options: Options, outcome: Outcome, published: Mapping[str, list[str]], left: list[str]
) -> None:
    if left and not options.remove_orphans:
        click.echo(
            f"{output.paint('warning:', 'yellow', sys.stderr)} {', '.join(left)}: running, but no longer in "
            f"{wanted.file}; remove with: motet up --remove-orphans",
            err=True,
        )
    removed = left if options.remove_orphans else []
    changed = outcome.changed or bool(removed)
    if options.form != "text":
        result = {
            "project": wanted.name,
            "changed": changed,
            "removed": removed,
            "services": [_row(name, outcome, published) for name in outcome.states],
        }
        click.echo(output.structured(result, options.form))
        return
    for name in outcome.states:
        for address in published.get(object_name(name), ()):
            click.echo(f"{name}: {output.paint(address, 'cyan')}")
    if not changed:
        click.echo(f"nothing to do: everything is as {wanted.file} says")
    else:
        counts: dict[str, int] = {}
        for written in outcome.written.values():
            counts[written.change.value] = counts.get(written.change.value, 0) + 1
        told = ", ".join(f"{count} {word}" for word, count in counts.items())
        click.echo(f"{wanted.name} is up ({told}{f', {len(removed)} removed' if removed else ''})")


def _row(name: str, outcome: Outcome, published: Mapping[str, list[str]]) -> dict[str, object]:
    state, written = outcome.states[name], outcome.written[name]
    return {
        "name": name,
        "state": state.phase.value,
        "change": written.change.value,
        "ready": state.ready,
        "replicas": state.wanted,
        "addresses": published.get(object_name(name), []),
    }
