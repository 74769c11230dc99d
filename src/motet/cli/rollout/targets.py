"""What people name after `motet rollout VERB`: Apps, and the workloads of Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from motet.base.errors import ApiError, MotetError, NotFound
from motet.cli import output, project, session
from motet.cli.compose.translate import object_name
from motet.cli.options import data_dir_option
from motet.client.interface import Client
from motet.kinds import app, daemonset, deployment, statefulset
from motet.kinds.kind import Kind
from motet.machine import lifecycle
from motet.machine.layout import DATA_DIR, Machine
from motet.store.document import Document

Result = TypeVar("Result")

APP, DEPLOYMENT, STATEFULSET, DAEMONSET = app.KIND, deployment.KIND, statefulset.KIND, daemonset.KIND
KINDS = (APP, DEPLOYMENT, STATEFULSET, DAEMONSET)
_COMPLETION_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """One workload by its name."""

    kind: Kind = field(hash=False)
    name: str

    def __str__(self) -> str:
        return f"{self.kind.singular}/{self.name}"


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """TARGET..., `-n`, `--data-dir`."""
    for option in (
        data_dir_option,
        click.option(
            "-n", "--namespace", default="", help="Where they are; if not given, the project of the Compose file here."
        ),
        click.argument("targets", nargs=-1, required=True, metavar="TARGET...", shell_complete=complete),
    ):
        function = option(function)
    return function


def structured_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`-o`, for verbs that have words or an object to print."""
    return output.output_option("table", "json", "yaml")(function)


def parse(words: Sequence[str]) -> list[Target]:
    """`web`, `app/web`, `deploy/web`, `sts/web`, `ds/web`. Raises click.BadParameter."""
    found = []
    for word in words:
        sort, slash, name = word.partition("/")
        if not slash:
            found.append(Target(APP, word))
            continue
        kind = next((kind for kind in KINDS if sort.lower().partition(".")[0] in _words(kind)), None)
        if kind is None or not name or "/" in name:
            known = ", ".join(f"{kind.singular}/NAME" for kind in KINDS)
            raise click.BadParameter(f"expected NAME or one of {known}, found {word!r}")
        found.append(Target(kind, name))
    return list(dict.fromkeys(found))


def _words(kind: Kind) -> tuple[str, ...]:
    return (kind.singular, kind.plural, *kind.short_names)


def namespace_of(namespace: str) -> str:
    """The one given, else the project of the Compose file in this folder, else `default`. Raises MotetError."""
    return namespace or project.named("") or "default"


async def find(client: Client, target: Target, namespace: str) -> Document:
    """Raises MotetError that lists those there are."""
    names = dict.fromkeys((target.name, object_name(target.name)) if target.kind is APP else (target.name,))
    for name in names:
        try:
            return await client.get(target.kind, name, namespace)
        except NotFound:
            continue
    there = sorted(each.name for each in await client.list(target.kind, namespace))
    known = f"there are: {', '.join(there)}" if there else "there is none; say where with -n"
    raise MotetError(f"there is no {target.kind.singular} {target.name!r} in namespace {namespace} ({known})")


async def resolve(client: Client, target: Target, namespace: str) -> Target:
    """The target by the name it has in the cluster. Raises MotetError when it is not there."""
    return Target(target.kind, (await find(client, target, namespace)).name)


def each(
    data_dir: Path, namespace: str, words: Sequence[str], work: Callable[[Client, Target, Document], Awaitable[Result]]
) -> list[tuple[Target, Result]]:
    """Do `work` on every target; nothing is done unless all of them are there. Raises MotetError."""
    targets, where = parse(words), namespace_of(namespace)

    async def all_of_them() -> list[tuple[Target, Result]]:
        async with session.connected(data_dir) as client:
            documents = [await find(client, target, where) for target in targets]
            found = [(Target(each.kind, it.name), it) for each, it in zip(targets, documents, strict=True)]
            return [(target, await work(client, target, document)) for target, document in found]

    return session.run(all_of_them())


def tell(results: Sequence[tuple[Target, str]], form: str) -> None:
    """Print one sentence per target."""
    if form == "table":
        for target, said in results:
            click.echo(f"{target} {said}")
    else:
        rows = [{"kind": target.kind.kind, "name": target.name, "result": said} for target, said in results]
        click.echo(output.structured(rows, form))


def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of Apps, and KIND/NAME once the kind is typed. Silent when there is no cluster to ask."""
    data_dir = ctx.params.get("data_dir")
    sort, slash, _ = incomplete.partition("/")
    kind = next((kind for kind in KINDS if sort in _words(kind)), None) if slash else APP
    if kind is None:
        return []
    try:
        where = namespace_of(ctx.params.get("namespace") or "")
        names = asyncio.run(_names(Path(data_dir or DATA_DIR), kind, where))
    except (ApiError, MotetError, OSError, TimeoutError):
        return []
    offered = [f"{sort}/{name}" if slash else name for name in names]
    if not slash:
        offered += [f"{each.singular}/" for each in KINDS[1:]]
    return [word for word in offered if word.startswith(incomplete)]


async def _names(data_dir: Path, kind: Kind, namespace: str) -> list[str]:
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        return []
    async with asyncio.timeout(_COMPLETION_SECONDS), lifecycle.connect(machine, settings) as client:
        return [document.name for document in await client.list(kind, namespace)]
