"""`motet reset`: take Motet off this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from motet.cli.options import data_dir_option
from motet.machine import lifecycle
from motet.machine.layout import Machine


@click.command()
@data_dir_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(data_dir: Path, yes: bool) -> None:
    """Remove every container, volume, rule and file that Motet made on this machine."""
    lifecycle.require_root()
    if not yes:
        click.confirm(f"Remove all containers and all data in {data_dir}?", abort=True)
    asyncio.run(lifecycle.remove(Machine(data_dir)))
    click.echo("Motet is gone from this machine.")
