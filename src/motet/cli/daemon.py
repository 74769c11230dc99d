"""`motet daemon`: keeps this machine's manager and agent alive. `motet up` starts it; people need not."""

from __future__ import annotations

import asyncio
import logging
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        raise MotetError(f"{data_dir} has no machine.json; start with: motet up FILE")
    asyncio.run(daemon.run(machine, settings))
