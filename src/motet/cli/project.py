"""Which project a verb is about: the one of `-p`, the one of the file given or found here, or the only one there is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from motet.base import selectors
from motet.base.errors import MotetError
from motet.cli.compose.model import Project
from motet.cli.compose.read import project_name, read, service_names
from motet.cli.compose.translate import PROJECT
from motet.client.interface import Client
from motet.kinds import namespace

__all__ = [
    "FILES",
    "Written",
    "found_file",
    "load",
    "named",
    "names",
    "project_option",
    "require",
    "select",
    "service_names",
]

FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
PROJECTS = selectors.Selector((selectors.Requirement(PROJECT, "exists"),))


def project_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`-p NAME`."""
    return click.option(
        "-p", "--project-name", "project", default="", metavar="NAME", help="The project, if not the one of the file."
    )(function)


@dataclass(frozen=True, slots=True)
class Written:
    """What was typed: files laid over each other, profiles, and files with variables instead of `.env`."""

    files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()


def found_file(folder: Path | None = None) -> Path | None:
    """The Compose file of a folder, the present one by default."""
    folder = folder or Path()
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def load(written: Written, project: str) -> Project:
    """The project of the files that were named, or of those found here. Raises ComposeError, MotetError."""
    files = written.files or tuple(Path(each) for each in os.environ.get("COMPOSE_FILE", "").split(os.pathsep) if each)
    if not files:
        if found_file() is None:
            raise MotetError(f"there is no {FILES[0]} in {Path().absolute()}; name the file: motet up FILE")
        files = _beside(Path())
    # Not Path.is_dir: it raises where one may not look, and `read` says that better.
    elif len(files) == 1 and os.path.isdir(files[0]):
        if found_file(files[0]) is None:
            raise MotetError(f"there is no {FILES[0]} in {files[0]}")
        files = _beside(files[0])
    return read(files, project=project, profiles=written.profiles, env_files=written.env_files)


def _beside(folder: Path) -> tuple[Path, ...]:
    """The Compose file of a folder, and the one that overrides it if it is there."""
    file = found_file(folder)
    assert file is not None
    base = file.name.partition(".")[0]
    over = (folder / f"{base}.override.{suffix}" for suffix in ("yaml", "yml"))
    return (file, *[each for each in over if each.is_file()][:1])


async def names(client: Client) -> list[str]:
    """The projects in the cluster."""
    return sorted(document.name for document in await client.list(namespace.KIND, labels=PROJECTS))


async def select(client: Client, project: str, file: Path | None = None) -> str:
    """The name of the project meant. Raises MotetError when that is not clear."""
    if chosen := named(project, file):
        return chosen
    known = await names(client)
    if not known:
        raise MotetError("there is no project in the cluster; start one: motet up FILE")
    if len(known) > 1:
        raise MotetError(f"there are several projects; say which one with -p: {', '.join(known)}")
    return known[0]


def named(project: str, file: Path | None = None) -> str:
    """The project that option and folder name; empty when they name none. Raises ComposeError."""
    if project:
        return project
    file = file or found_file()
    return "" if file is None else project_name(file)


async def require(client: Client, name: str) -> None:
    """Raises MotetError when there is no such project."""
    known = await names(client)
    if name not in known:
        others = f"there are: {', '.join(known)}" if known else "there is none"
        raise MotetError(f"there is no project {name!r} in the cluster ({others}); see: motet ps")
