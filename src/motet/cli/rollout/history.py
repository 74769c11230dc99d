"""`motet rollout history`: which versions are kept, and what changed from one to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from motet.base.errors import MotetError
from motet.cli import output
from motet.cli.rollout import revisions, targets
from motet.cli.rollout.revisions import Revision
from motet.cli.rollout.targets import Target
from motet.client.interface import Client
from motet.kinds import ages
from motet.store.document import Document


@click.command()
@targets.options
@targets.structured_option
@click.option("--revision", type=click.IntRange(min=1), default=None, help="Show all of this one.")
def command(targets: tuple[str, ...], namespace: str, data_dir: Path, output: str, revision: int | None) -> None:
    """List the versions of each TARGET that are kept to go back to, the oldest first.

    The annotation kubernetes.io/change-cause of what was changed is shown where there is one, else what is another.
    """
    _history(targets, namespace, data_dir, output, revision)


def _history(words: tuple[str, ...], namespace: str, data_dir: Path, form: str, number: int | None) -> None:
    async def work(client: Client, target: Target, document: Document) -> list[Revision]:
        found = await revisions.of(client, target, document)
        return found if number is None else [choose(found, number, target)]

    results = targets.each(data_dir, namespace, words, work)
    if form != "table":
        rows = [
            {"kind": target.kind.kind, "name": target.name, "revisions": msgspec.to_builtins(found)}
            for target, found in results
        ]
        click.echo(output.structured(rows, form))
    elif number is not None:
        for target, (one,) in results:
            click.echo(f"{target} revision {one.number}{f': {one.cause}' if one.cause else ''}")
            click.echo(output.structured(one.spec, "yaml"))
    else:
        for target, found in results:
            click.echo(f"{target}\n{table(found)}" if len(results) > 1 else table(found))


def choose(found: list[Revision], number: int, target: Target) -> Revision:
    """Raises MotetError for a revision that is not kept."""
    for each in found:
        if each.number == number:
            return each
    known = ", ".join(str(each.number) for each in found) or "none"
    raise MotetError(f"{target} has no revision {number}; kept are: {known}")


def table(found: list[Revision]) -> str:
    now = datetime.now(UTC)
    rows = [
        [
            f"{each.number}{' *' if each.current else ''}",
            ages.since(each.created, now),
            ",".join(each.images),
            output.clean(revisions.summary(each)) or "-",
        ]
        for each in found
    ]
    return output.table(["REVISION", "AGE", "IMAGE", "CHANGE"], rows) or "no revision is kept"
