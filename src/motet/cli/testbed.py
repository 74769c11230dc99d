"""`motet testbed`: a cluster of several nodes on this one machine, to try things on and to break."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from motet.base.errors import ApiError
from motet.cli.options import dual_stack_option, encrypt_option, node_grace_option
from motet.machine import lifecycle

_DIRECTORY = Path("/var/lib/motet-testbed")


def _directory(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=_DIRECTORY,
        show_default=True,
        envvar="MOTET_TESTBED_DIR",
        help="Where the testbed keeps its nodes' disks.",
    )(function)


def _open(directory: Path) -> Any:
    from motet.testbed.cluster import Testbed

    lifecycle.require_root()
    return Testbed(directory, lambda step: click.echo(step, err=True))


@click.group()
def command() -> None:
    """A cluster of several nodes on this machine, to try things on and to break.

    \b
      motet testbed up --nodes 3
      motet testbed kubeconfig > testbed.yaml
      kubectl --kubeconfig testbed.yaml get nodes
      motet testbed cut n2        its cable is out; `heal` puts it back
      motet testbed down          nothing is left
    """


@command.command()
@click.option("--nodes", default=3, show_default=True, help="How many there should be at least.")
@click.option("--managers", default=1, show_default=True, help="How many of them manage the cluster.")
@node_grace_option
@click.option(
    "--legacy-service-account-tokens",
    "legacy_tokens",
    is_flag=True,
    help="For a cluster that is begun now: give every service account a Secret with a token, as before Kubernetes 1.24.",
)
@encrypt_option
@dual_stack_option
@_directory
def up(
    nodes: int,
    managers: int,
    node_grace: float,
    legacy_tokens: bool,
    encrypted: bool,
    dual_stack: bool,
    directory: Path,
) -> None:
    """Start a testbed, add nodes to it, or turn on those that are off."""
    testbed = _open(directory)
    asyncio.run(
        testbed.up(nodes, managers, node_grace, legacy_tokens=legacy_tokens, encrypted=encrypted, dual_stack=dual_stack)
    )
    click.echo("The testbed is up. To use it: motet testbed kubeconfig > testbed.yaml")


@command.command()
@_directory
def down(directory: Path) -> None:
    """Take the testbed away, with everything that ran on it."""
    there = asyncio.run(_open(directory).down())
    click.echo("The testbed is gone." if there else f"There is no testbed in {directory}.")


@command.command("ls")
@_directory
def list_nodes(directory: Path) -> None:
    """List the nodes and how they are."""
    testbed = _open(directory)
    plan = testbed.plan
    try:
        states = asyncio.run(asyncio.wait_for(testbed.states(), 5))
    except (ApiError, TimeoutError):
        states = {}
    click.echo(f"{'NODE':8} {'ROLE':8} {'ADDRESS':16} {'MACHINE':10} STATE")
    for member in plan.members:
        machine = "off" if not testbed.box(member.name).pid else "cut off" if member.cut else "on"
        machine += f", loses {member.loss}%" if member.loss else ""
        role = "manager" if member.manager else "worker"
        state = states.get(member.name, "unknown: the manager does not answer")
        click.echo(f"{member.name:8} {role:8} {plan.address(member)!s:16} {machine:10} {state}")


@command.command()
@_directory
def kubeconfig(directory: Path) -> None:
    """Print an administrator's kubeconfig for use on this machine."""
    click.echo(_open(directory).kubeconfig().decode(), nl=False)


@command.command("docker-host")
@click.argument("node", required=False, default="")
@_directory
def docker_host(node: str, directory: Path) -> None:
    """Print the DOCKER_HOST under which `docker` reaches the testbed: export DOCKER_HOST=$(motet testbed docker-host)."""
    click.echo(_open(directory).docker_host(node))


@command.command("import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_directory
def import_image(archive: Path, directory: Path) -> None:
    """Put the images of a tar file (docker save, OCI layout) into every node."""
    for node, names in asyncio.run(_open(directory).load_image(archive)).items():
        click.echo(f"{node}: {', '.join(names)}")


@command.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD...")
@_directory
def execute(node: str, argv: tuple[str, ...], directory: Path) -> None:
    """Run a command on a node: in its network, with its mounts."""
    sys.exit(_open(directory).run(node, argv))


@command.command()
@click.argument("node")
@_directory
def cut(node: str, directory: Path) -> None:
    """Pull a node's network cable. What runs on it runs on."""
    _open(directory).cut(node)


@command.command()
@click.argument("node")
@_directory
def heal(node: str, directory: Path) -> None:
    """Put a node's network cable back, and end its losses."""
    testbed = _open(directory)
    testbed.cut(node, cut=False)
    testbed.lose(node, 0)


@command.command()
@click.argument("node")
@_directory
def kill(node: str, directory: Path) -> None:
    """Pull a node's plug: every process on it ends at once, its disk stays."""
    _open(directory).kill(node)


@command.command()
@click.argument("node")
@_directory
def start(node: str, directory: Path) -> None:
    """Turn a node on again, and wait until it takes pods."""
    testbed = _open(directory)

    async def run() -> None:
        await testbed.start(node)
        await testbed.until_ready([node])

    asyncio.run(run())


@command.command()
@click.argument("node")
@click.argument("share")
@_directory
def loss(node: str, share: str, directory: Path) -> None:
    """Have a node lose a share of its packets, both ways: `loss n2 20%`; `0%` ends it."""
    if not re.fullmatch(r"\d{1,3}%?", share):
        raise click.BadParameter(f"expected a percentage such as 20%, found {share!r}", param_hint="SHARE")
    _open(directory).lose(node, int(share.rstrip("%")))
