"""`motet node activate`: a node takes pods again."""

from __future__ import annotations

from pathlib import Path

import click

from motet.cli.node import nodes
from motet.cli.options import data_dir_option


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=nodes.complete)
@data_dir_option
def command(names: tuple[str, ...], data_dir: Path) -> None:
    """Let a paused or drained NODE take pods again."""
    nodes.run_each(data_dir, names, nodes.ACTIVE, "takes pods again", "takes pods already")
