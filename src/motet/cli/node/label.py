"""`motet node label`: words by which pods choose their node."""

from __future__ import annotations

from pathlib import Path

import click

from motet.cli import session
from motet.cli.node import nodes
from motet.cli.options import data_dir_option


@click.command()
@click.argument("name", metavar="NODE", shell_complete=nodes.complete)
@click.argument("labels", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@data_dir_option
def command(name: str, labels: tuple[str, ...], data_dir: Path) -> None:
    """Set labels of a NODE (KEY=VALUE), or take them away (KEY-)."""
    wanted = parse(labels)

    async def work() -> None:
        async with session.connected(data_dir) as client:
            await nodes.change(client, name, wanted)

    session.run(work())
    click.echo(f"{name} is labelled")


def parse(labels: tuple[str, ...]) -> dict[str, str | None]:
    """Labels to set, and those to take away as None. Raises click.BadParameter."""
    wanted: dict[str, str | None] = {}
    for text in labels:
        key, equals, value = text.partition("=")
        if equals and key:
            wanted[key] = value
        elif not equals and text.endswith("-") and len(text) > 1:
            wanted[text[:-1]] = None
        else:
            raise click.BadParameter(f"expected KEY=VALUE, or KEY- to take one away, found {text!r}")
    return wanted
