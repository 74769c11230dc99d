"""`motet restore`: put a backup in the place of a lost or damaged store."""

from __future__ import annotations

from pathlib import Path

import click

from motet.cli.options import data_dir_option
from motet.machine.layout import Machine
from motet.store.restore import restore


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_dir_option
def command(file: Path, data_dir: Path) -> None:
    """Make the cluster's state what FILE holds. The manager must be stopped; the old state is moved aside, not deleted."""
    machine = Machine(data_dir)
    machine.server_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = restore(file, machine.store)
    click.echo(f"restored from {file}" + (f"; what was there before is in {aside}" if aside else ""))
    click.echo("start the cluster with: motet up FILE, or motet server")
