"""`motet secrets`: how secrets are kept on the manager's disk."""

from __future__ import annotations

import time
from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli import session
from motet.cli.options import data_dir_option
from motet.machine import lifecycle
from motet.store.sealing import Keys

_LOOK_EVERY = 0.2


@click.group()
def command() -> None:
    """Look after the encryption of secrets on the manager's disk."""


@command.command("rotate-key")
@click.option("--timeout", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds to wait.")
@data_dir_option
def rotate_key(timeout: float, data_dir: Path) -> None:
    """Encrypt all secrets with a new key, and forget the old one. Nothing is restarted.

    Copies of the state that were made before (motet backup) need the old key file; copy it away first if you keep them.
    """
    machine, _ = session.managed(data_dir)
    path = machine.secret_keys
    try:
        keys = Keys.load(path).rotated()
    except FileNotFoundError:
        raise MotetError(f"there are no keys in {path} yet; the manager makes them when it starts") from None
    keys.save(path)
    if not lifecycle.running(machine):
        click.echo("The new key is in its place; the manager encrypts everything with it when it starts.")
        return
    deadline = time.monotonic() + timeout
    while len(Keys.load(path).keys) > 1:
        if time.monotonic() > deadline:
            raise MotetError(
                f"the manager has not finished after {timeout:.0f} s; it goes on by itself. Its log: {machine.logs}"
            )
        time.sleep(_LOOK_EVERY)
    click.echo("All secrets are encrypted with a new key; the old one is forgotten.")
