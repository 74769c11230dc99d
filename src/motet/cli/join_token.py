"""`motet join-token`: what a machine needs to join."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from motet.cli import output, session
from motet.cli.options import data_dir_option
from motet.client.remote import RemoteClient
from motet.identity.messages import JoinToken
from motet.identity.tokens import ROLES


@click.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option("--rotate", is_flag=True, help="Make a new token; the old one admits nobody any more.")
@click.option("-q", "--quiet", is_flag=True, help="Print the token alone.")
@data_dir_option
@output.output_option("text", "json", "yaml")
def command(role: str, rotate: bool, quiet: bool, data_dir: Path, output: str) -> None:
    """Print what to type on a machine that is to join as a ROLE.

    Machines that have joined need their token no more: rotating it disturbs none of them.
    """
    _print(session.run(_fetch(data_dir, role, rotate)), rotate, quiet, output)


def _print(token: JoinToken, rotated: bool, quiet: bool, form: str) -> None:
    if quiet:
        click.echo(token.token)
    elif form != "text":
        click.echo(output.structured(token, form))
    else:
        if rotated:
            click.echo(f"The token of {token.role}s is new; the one before admits nobody any more.\n")
        click.echo(f"To add a {token.role}, run on the machine, as root:\n\n  {line(token)}")


async def _fetch(data_dir: Path, role: str, rotate: bool) -> JoinToken:
    async with session.connected(data_dir) as client:
        return await fetch(client, role, rotate=rotate)


async def fetch(client: RemoteClient, role: str, *, rotate: bool = False) -> JoinToken:
    """The token of a role. Raises ApiError."""
    path = f"/motet/v1/join-tokens/{role}"
    answer = await client.request("POST", f"{path}/rotate") if rotate else await client.request("GET", path)
    return msgspec.json.decode(answer, type=JoinToken)


def line(token: JoinToken) -> str:
    """What to type."""
    return f"motet join --token {token.token} {token.managers[0]}"
