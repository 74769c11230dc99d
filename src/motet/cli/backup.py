"""`motet backup`: a complete copy of the cluster's state in one file."""

from __future__ import annotations

from pathlib import Path

import click

from motet.cli.options import data_dir_option
from motet.machine.layout import Machine
from motet.store import backup


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@data_dir_option
def command(file: Path, data_dir: Path) -> None:
    """Write every object of the cluster to FILE; the manager may go on working meanwhile.

    Secrets in it are encrypted with keys that it does not hold: keep a copy of secrets.keys in another place, and both as safe
    as the cluster. Volumes are not in it.
    """
    backup.take(Machine(data_dir).store, file)
    machine = Machine(data_dir)
    click.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB; bring it back with: motet restore {file}")
    click.echo(f"Its secrets can only be read with {machine.secret_keys}: copy that too, to another place.")
