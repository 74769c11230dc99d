"""`motet init`: a cluster that other machines can join."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from motet.base.errors import MotetError
from motet.cli import doctor, join_token, output, session
from motet.cli.options import data_dir_option, dual_stack_option, encrypt_option, node_grace_option
from motet.cli.progress import Progress, chosen
from motet.identity.messages import JoinToken
from motet.machine import lifecycle, ranges
from motet.machine.layout import Machine, Settings, first_settings
from motet.network.ipv6 import without_ipv6


class Begun(msgspec.Struct, frozen=True):
    """What programs get to read."""

    node: str
    server: str
    kubeconfig: str
    worker: str
    manager: str


class Asked(NamedTuple):
    """What the cluster is to be; empty for whatever is usual, or is there already."""

    address: str = ""
    node_name: str = ""
    node_grace: float = 0.0
    encrypted: bool = False
    dual_stack: bool = False
    pod_cidr: str = ""
    service_cidr: str = ""


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
@dual_stack_option
@click.option(
    "--pod-cidr",
    default="",
    metavar="CIDR[,CIDR]",
    help="Addresses of all pods, 10.42.0.0/16 by default; a second range, of IPv6, makes the cluster dual-stack.",
)
@click.option(
    "--service-cidr",
    default="",
    metavar="CIDR[,CIDR]",
    help="Addresses of services, 10.43.0.0/16 by default; of IPv6, too, in a dual-stack cluster.",
)
@data_dir_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@output.output_option("text", "json", "yaml")
def command(
    address: str,
    node_name: str,
    node_grace: float,
    encrypted: bool,
    dual_stack: bool,
    pod_cidr: str,
    service_cidr: str,
    data_dir: Path,
    quiet: bool,
    output: str,
) -> None:
    """Start a cluster on this machine, and print what to type on the others.

    This machine becomes the manager, and a node that runs containers too.
    """
    asked = Asked(checked_address(address), node_name, node_grace, encrypted, dual_stack, pod_cidr, service_cidr)
    _init(Machine(data_dir), asked, quiet, output)


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


def _init(machine: Machine, asked: Asked, quiet: bool, form: str) -> None:
    lifecycle.require_root()
    settings = _settings(machine, asked)
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


def _settings(machine: Machine, asked: Asked) -> Settings:
    """Those of the first start, or new ones. Raises MotetError when what is asked for contradicts what is there."""
    settings = machine.settings()
    encrypted = asked.encrypted
    if settings is None:
        chosen_ranges = ranges.chosen(asked.pod_cidr, asked.service_cidr, dual_stack=asked.dual_stack)
        if chosen_ranges.pods_six and (problem := without_ipv6()):
            raise MotetError(f"this machine cannot have a dual-stack cluster: {problem}")
        settings = first_settings(
            address=asked.address, node_name=asked.node_name, encrypted=encrypted, ranges=chosen_ranges
        )
        if asked.node_grace:
            settings = msgspec.structs.replace(settings, node_grace=asked.node_grace)
        machine.remember(settings)
        return settings
    if not settings.is_manager:
        raise MotetError(
            f"{lifecycle.only_a_worker(settings)}. To make it a cluster of its own: motet leave, motet init"
        )
    for wanted, there, option in (
        (asked.address, settings.address, "--advertise-addr"),
        (asked.node_name, settings.node_name, "--node-name"),
        (asked.node_grace, settings.node_grace, "--node-grace"),
        (asked.pod_cidr, ",".join(filter(None, (settings.pods, settings.pods_six))), "--pod-cidr"),
        (asked.service_cidr, ",".join(filter(None, (settings.services, settings.services_six))), "--service-cidr"),
    ):
        if wanted and wanted != there:
            raise MotetError(
                f"there is a cluster on this machine already, begun with {option} {there}; to begin anew: motet reset"
            )
    if asked.dual_stack and not settings.pods_six:
        raise MotetError(
            "the cluster on this machine was begun without --dual-stack, and its pods keep the addresses they have; "
            "to begin anew: motet reset, motet init --dual-stack"
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
