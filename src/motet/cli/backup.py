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

    FILE holds all secrets: keep it as safe as the cluster. Volumes are not in it.
    """
    backup.take(Machine(data_dir).store, file)
    click.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB; bring it back with: motet restore {file}")
