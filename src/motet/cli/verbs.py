"""A verb of verbs, such as `motet node ls`: each lives in a module of its own and is imported only when it is typed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import click


class Verbs(click.Group):
    """The verbs `names`; each is `command` in the module of that name in `package`."""

    def __init__(self, *args: Any, package: str, names: Sequence[str], **others: Any) -> None:
        super().__init__(*args, **others)
        self._package = package
        self._names = names

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._names:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command
