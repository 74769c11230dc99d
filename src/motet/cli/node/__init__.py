"""`motet node`: the machines of the cluster."""

from __future__ import annotations

import importlib

import click

_VERBS = ("ls", "inspect", "ps", "update", "label", "drain", "pause", "activate", "rm")


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(f"motet.cli.node.{cmd_name}").command
        return command


@click.group(cls=_Verbs)
def command() -> None:
    """Look at the machines of the cluster, and say what they may be used for."""
