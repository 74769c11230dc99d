"""`motet join`: make this machine a node of a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from motet.base.errors import MotetError, TooManyRequests
from motet.cli import doctor, output, session
from motet.cli.init import checked_address
from motet.cli.options import data_dir_option
from motet.cli.progress import Progress, chosen
from motet.identity.tokens import Token
from motet.machine import joining, lifecycle
from motet.machine.layout import Machine, Settings, first_settings, primary_address
from motet.network.ipv6 import without_ipv6

_MOST_WAITS = 5


class Joined(msgspec.Struct, frozen=True):
    """What programs get to read."""

    node: str
    address: str
    server: str


@click.command()
@click.argument("server", metavar="HOST:PORT")
@click.option("--token", required=True, envvar="MOTET_JOIN_TOKEN", help="What `motet join-token` prints on a manager.")
@click.option("--node-name", default="", metavar="NAME", help="What this node is called, if not as the machine.")
@click.option(
    "--advertise-addr",
    "address",
    default="",
    metavar="ADDR",
    help="Address other machines reach this one by, if not that of its way to the manager.",
)
@data_dir_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@output.output_option("text", "json", "yaml")
def command(server: str, token: str, node_name: str, address: str, data_dir: Path, quiet: bool, output: str) -> None:
    """Make this machine a node of the cluster whose manager is at HOST:PORT."""
    _run(Machine(data_dir), joining.parse_server(server), token, node_name, checked_address(address), quiet, output)


def _run(machine: Machine, server: str, token: str, node_name: str, address: str, quiet: bool, form: str) -> None:
    parsed = joining.parse_token(token)
    lifecycle.require_root()
    known = _known(machine, server)
    doctor.require(machine)
    with chosen(quiet=quiet) as progress:
        settings = session.run(_join(machine, server, parsed, known, (node_name, address), progress))
    if form != "text":
        click.echo(output.structured(Joined(settings.node_name, settings.address, settings.servers[0]), form))
    else:
        click.echo(f"This machine is a node of the cluster now: {output.paint(settings.node_name, 'cyan')}.")


def _known(machine: Machine, server: str) -> Settings | None:
    """What is known of an earlier attempt. Raises MotetError when this machine belongs somewhere already."""
    settings = machine.settings()
    if settings is None:
        return None
    if settings.is_manager:
        raise MotetError(
            "this machine has a cluster of its own; to give that up, with all that runs on it: motet leave --force"
        )
    if lifecycle.running(machine):
        raise MotetError(f"this machine is a node of the cluster at {settings.servers[0]} already; see: motet leave")
    if server not in settings.servers:
        raise MotetError(f"this machine belongs to the cluster at {settings.servers[0]}; make it leave: motet leave")
    return settings


async def _join(
    machine: Machine, server: str, token: Token, known: Settings | None, chosen: tuple[str, str], progress: Progress
) -> Settings:
    node_name, address = chosen
    if known is not None:
        node_name, address = node_name or known.node_name, address or known.address
    address = address or await asyncio.to_thread(primary_address, urlsplit(server).hostname or "")
    settings = first_settings(address=address, node_name=node_name)
    progress.say("making sure that this is the cluster the token is for")
    trusted = await joining.roots(server, token)
    progress.say(f"joining as {settings.node_name}")
    for attempt in range(_MOST_WAITS + 1):
        try:
            issued = await joining.join(server, token, settings.node_name, address, machine.node_pki, trusted)
            break
        except TooManyRequests as error:
            seconds = int(error.details.get("retryAfterSeconds") or 1)
            if attempt == _MOST_WAITS or seconds > 60:
                raise
            progress.say(f"the manager is busy refusing others; trying again in {seconds} s")
            await asyncio.sleep(seconds)
    cluster = issued.cluster
    others = (f"https://{manager}" for manager in cluster.managers)
    settings = msgspec.structs.replace(
        settings,
        role="worker",
        servers=tuple(dict.fromkeys((server, *others))),
        pods=cluster.pods,
        services=cluster.services,
        dns_address=cluster.dns_address,
        domain=cluster.domain,
        node_grace=cluster.node_grace,
        encrypted=cluster.encrypted,
        pods_six=cluster.pods_six,
        services_six=cluster.services_six,
    )
    if settings.pods_six and (problem := without_ipv6()):
        raise MotetError(f"this is a dual-stack cluster, and {problem} on this machine")
    machine.remember(settings)
    if settings.encrypted:
        # Known only now, and as good as anything else that a machine may lack.
        await asyncio.to_thread(doctor.require, machine)
    await lifecycle.bring_up(machine, settings, progress.say)
    return settings
