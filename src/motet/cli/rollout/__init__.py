"""`motet rollout`: how what runs becomes another version of itself."""

from __future__ import annotations

import click

from motet.cli.verbs import Verbs

_NAMES = ("status", "history", "undo", "pause", "resume", "restart")


@click.group(cls=Verbs, package=__name__, names=_NAMES)
def command() -> None:
    """Follow, stop, undo and repeat updates.

    \b
    A TARGET is the name of an App (a service of `motet up` or of docker), or
      deployment/NAME, statefulset/NAME, daemonset/NAME
    """
