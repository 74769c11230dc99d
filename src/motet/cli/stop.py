"""`motet stop`: end this machine's manager and agent, and leave its containers running."""

from __future__ import annotations

from pathlib import Path

import click

from motet.cli.options import data_dir_option
from motet.machine import lifecycle
from motet.machine.layout import Machine


@click.command()
@data_dir_option
def command(data_dir: Path) -> None:
    """Stop Motet on this machine. Containers run on; the next `motet up` takes them over."""
    lifecycle.require_root()
    stopped = lifecycle.stop(Machine(data_dir))
    click.echo("Motet has stopped; its containers run on." if stopped else "Motet was not running.")
