"""`motet init`: a cluster that other machines can join."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click
import msgspec

from motet.base.errors import MotetError
from motet.cli import doctor, join_token, output, session
from motet.cli.options import data_dir_option, encrypt_option, node_grace_option
from motet.cli.progress import Progress, chosen
from motet.identity.messages import JoinToken
from motet.machine import lifecycle
from motet.machine.layout import Machine, Settings, first_settings


class Begun(msgspec.Struct, frozen=True):
    """What programs get to read."""

    node: str
    server: str
    kubeconfig: str
    worker: str
    manager: str


@click.command()
@click.option(
    "--advertise-addr",
    "address",
    default="",
    metavar="ADDR",
    help="Address other machines reach this one by, if not that of its way out.",
)
@click.option("--node-name", default="", metavar="NAME", help="What this node is called, if not as the machine.")
@node_grace_option
@encrypt_option
@data_dir_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@output.output_option("text", "json", "yaml")
def command(
    address: str, node_name: str, node_grace: float, encrypted: bool, data_dir: Path, quiet: bool, output: str
) -> None:
    """Start a cluster on this machine, and print what to type on the others.

    This machine becomes the manager, and a node that runs containers too.
    """
    _init(Machine(data_dir), (checked_address(address), node_name, node_grace, encrypted), quiet, output)


def checked_address(text: str) -> str:
    """An IPv4 address as it should be, or an empty string. Raises click.BadParameter."""
    if not text:
        return ""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IPv4 address", param_hint="--advertise-addr") from None
    if address.is_unspecified or address.is_multicast:
        raise click.BadParameter(f"nobody can reach {text}", param_hint="--advertise-addr")
    return str(address)


def _init(machine: Machine, chosen_settings: tuple[str, str, float, bool], quiet: bool, form: str) -> None:
    lifecycle.require_root()
    settings = _settings(machine, *chosen_settings)
    doctor.require(machine)
    with chosen(quiet=quiet) as progress:
        worker, manager = session.run(_start(machine, settings, progress))
    server = f"https://{settings.address}:{settings.port}"
    if form != "text":
        begun = Begun(settings.node_name, server, str(machine.kubeconfig), worker.token, manager.token)
        click.echo(output.structured(begun, form))
        return
    click.echo(f"The cluster is up; this machine is its manager, {output.paint(settings.node_name, 'cyan')}.\n")
    click.echo("To add a machine, run on it, as root:\n")
    click.echo(f"  {join_token.line(worker)}\n")
    click.echo("To add a manager (not supported yet: one manager per cluster for now):\n")
    click.echo(f"  {join_token.line(manager)}\n")
    click.echo("To use it with kubectl:\n")
    click.echo(f"  export KUBECONFIG={machine.kubeconfig}\n  kubectl get nodes")


def _settings(machine: Machine, address: str, node_name: str, node_grace: float, encrypted: bool) -> Settings:
    """Those of the first start, or new ones. Raises MotetError when what is asked for contradicts what is there."""
    settings = machine.settings()
    if settings is None:
        settings = first_settings(address=address, node_name=node_name, encrypted=encrypted)
        if node_grace:
            settings = msgspec.structs.replace(settings, node_grace=node_grace)
        machine.remember(settings)
        return settings
    if not settings.is_manager:
        raise MotetError(
            f"{lifecycle.only_a_worker(settings)}. To make it a cluster of its own: motet leave, motet init"
        )
    for wanted, there, option in (
        (address, settings.address, "--advertise-addr"),
        (node_name, settings.node_name, "--node-name"),
        (node_grace, settings.node_grace, "--node-grace"),
    ):
        if wanted and wanted != there:
            raise MotetError(
                f"there is a cluster on this machine already, begun with {option} {there}; to begin anew: motet reset"
            )
    if encrypted and not settings.encrypted:
        if machine.store.exists():
            raise MotetError(
                "the cluster on this machine was begun without --encrypt, and cannot be encrypted later: its nodes would "
                "not understand each other meanwhile. Encrypt single networks instead (Network, spec.encrypted), or begin "
                "anew: motet reset, motet init --encrypt"
            )
        settings = msgspec.structs.replace(settings, encrypted=True)
        machine.remember(settings)
    return settings


async def _start(machine: Machine, settings: Settings, progress: Progress) -> tuple[JoinToken, JoinToken]:
    await lifecycle.bring_up(machine, settings, progress.say)
    async with lifecycle.connect(machine, settings) as client:
        return await join_token.fetch(client, "worker"), await join_token.fetch(client, "manager")
