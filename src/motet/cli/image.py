"""`motet image`: images on this machine's node and in its builder."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from motet.base.errors import MotetError
from motet.cli.build import debian
from motet.cli.options import data_dir_option
from motet.machine import lifecycle
from motet.machine.layout import Machine
from motet.runtime.buildah import Buildah
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import Image, RuntimeUnavailable

Result = TypeVar("Result")


@click.group()
def command() -> None:
    """List, import and make images."""


@command.command("ls")
@data_dir_option
def list_images(data_dir: Path) -> None:
    """List the images on this machine's node."""
    images = asyncio.run(_on_node(Machine(data_dir), _list))
    for image in sorted(images, key=lambda item: item.tags):
        for name in image.tags or ("<none>",):
            click.echo(f"{name:60} {image.id.removeprefix('sha256:')[:12]}  {image.size / 1e6:8.1f} MB")


@command.command("import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_dir_option
def import_image(archive: Path, data_dir: Path) -> None:
    """Put the images of a tar file (docker save, OCI layout) into this machine's node."""
    for name in asyncio.run(_on_node(Machine(data_dir), lambda runtime: runtime.import_image(str(archive)))):
        click.echo(name)


@command.command("debian")
@data_dir_option
@click.option("--suite", default="bookworm", show_default=True, help="Debian release.")
@click.option("--tag", default=debian.DEFAULT_TAG, show_default=True, help="Name for the image.")
def make_debian(data_dir: Path, suite: str, tag: str) -> None:
    """Make a Debian base image for `build:` from Debian's packages; no image registry is needed."""
    lifecycle.require_root()
    shown = sys.stderr.isatty()

    def say(step: str) -> None:
        if shown:
            click.echo(f"\r\x1b[K{tag}: {step}", nl=False, err=True)

    image = asyncio.run(debian.make(Buildah(Machine(data_dir).builder), tag, suite, say))
    if shown:
        click.echo("\r\x1b[K", nl=False, err=True)
    click.echo(f"{tag} {image[:12]}")


async def _list(runtime: CriRuntime) -> list[Image]:
    return await runtime.images()


async def _on_node(machine: Machine, use: Callable[[CriRuntime], Awaitable[Result]]) -> Result:
    runtime = CriRuntime(machine.containerd_socket)
    try:
        return await use(runtime)
    except RuntimeUnavailable as error:
        raise MotetError(f"this machine's node does not run ({error}); start it with: motet up FILE") from error
    finally:
        await runtime.close()
