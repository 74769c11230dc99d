"""`motet start`: begin again where `motet stop` or a reboot ended it."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli import doctor, session
from motet.cli.options import data_dir_option
from motet.cli.progress import chosen
from motet.machine import lifecycle
from motet.machine.layout import Machine


@click.command()
@data_dir_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(data_dir: Path, quiet: bool) -> None:
    """Start Motet on this machine again, as the manager or worker it was, and wait until it takes pods."""
    lifecycle.require_root()
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        raise MotetError(
            "there is nothing to start on this machine; begin with: motet up FILE, motet init or motet join"
        )
    doctor.require(machine)
    with chosen(quiet=quiet) as progress:
        session.run(lifecycle.bring_up(machine, settings, progress.say))
    click.echo(f"Motet runs: this machine is {settings.node_name}, a {settings.role}.")
