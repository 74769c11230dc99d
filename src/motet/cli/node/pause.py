"""`motet node pause`: no new pods on a node."""

from __future__ import annotations

from pathlib import Path

import click

from motet.cli.node import nodes
from motet.cli.options import data_dir_option


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=nodes.complete)
@data_dir_option
def command(names: tuple[str, ...], data_dir: Path) -> None:
    """Put no new pods on a NODE; those there run on."""
    nodes.run_each(data_dir, names, nodes.PAUSE, "takes no new pods", "took no new pods before")
