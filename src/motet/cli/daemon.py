"""`motet daemon`: keeps this machine's manager and agent alive. `motet up` starts it; people need not."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli.options import data_dir_option
from motet.machine import daemon
from motet.machine.layout import Machine


@click.command(hidden=True)
@data_dir_option
def command(data_dir: Path) -> None:
    """Run manager and agent of this machine until told to stop."""
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        raise MotetError(f"{data_dir} has no machine.json; start with: motet up FILE")
    daemon.become(machine, settings)
