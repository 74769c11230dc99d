"""`motet node`: the machines of the cluster."""

from __future__ import annotations

import click

from motet.cli.verbs import Verbs

_NAMES = ("ls", "inspect", "ps", "update", "label", "drain", "pause", "activate", "rm")


@click.group(cls=Verbs, package=__name__, names=_NAMES)
def command() -> None:
    """Look at the machines of the cluster, and say what they may be used for."""
