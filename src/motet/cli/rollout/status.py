"""`motet rollout status`: wait for the end of a rollout, and say which one it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from motet.base import selectors
from motet.base.clock import Clock, SystemClock
from motet.base.errors import MotetError
from motet.cli import output, session, waiting
from motet.cli.interrupts import Interrupts
from motet.cli.progress import Line, Progress, chosen
from motet.cli.rollout import targets
from motet.cli.rollout.judge import CODES, Phase, Verdict, judge
from motet.cli.rollout.targets import APP, Target
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.kinds import pod as pod_kind

# How a verdict is shown while it is waited for.
_SHOWN = {Phase.WAITING: "updating", Phase.DONE: "ready", Phase.FAILED: "failed", Phase.ROLLED_BACK: "failed"}
_LOOK_EVERY = 1.0


@click.command()
@targets.options
@targets.structured_option
@click.option("-w/-W", "--watch/--no-watch", default=True, help="Wait for the end; without, say how it is now.")
@click.option("--timeout", type=click.FloatRange(min=0), default=0, help="Seconds to wait; 0 is for ever.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    targets: tuple[str, ...], namespace: str, data_dir: Path, output: str, watch: bool, timeout: float, quiet: bool
) -> None:
    """Wait until each TARGET is rolled out.

    Ends with 0 when all are, 3 when one went back to its earlier version by itself, and 1 when one has failed, was paused by
    its failures or was not done in time.
    """
    found = _status(targets, namespace, data_dir, watch, timeout, quiet)
    _print(found, output)
    if watch:
        raise SystemExit(max(CODES[verdict.phase] for verdict in found.values()))


def _status(
    words: Sequence[str], namespace: str, data_dir: Path, watch: bool, timeout: float, quiet: bool
) -> dict[Target, Verdict]:
    async def work() -> dict[Target, Verdict]:
        wanted, where = targets.parse(words), targets.namespace_of(namespace)
        async with session.connected(data_dir) as client:
            wanted = [await targets.resolve(client, target, where) for target in wanted]
            with Interrupts(), chosen(quiet=quiet or not watch) as progress:
                return await followed(client, wanted, where, progress, SystemClock(), watch=watch, timeout=timeout)

    return session.run(work())


async def followed(
    client: Client,
    wanted: Sequence[Target],
    namespace: str,
    progress: Progress,
    clock: Clock,
    *,
    watch: bool = True,
    timeout: float = 0.0,
) -> dict[Target, Verdict]:
    """The verdict on each once all are over, or time is up; the first one when not `watch`. Raises MotetError, NotFound."""
    kinds = {target.kind.kind: target.kind for target in wanted}
    tables = {name: await client.table(kind, namespace) for name, kind in kinds.items()}
    pods = await client.table(pod_kind.KIND, namespace)
    news = asyncio.Event()
    stops = [table.listen(lambda old, new: news.set()) for table in (*tables.values(), pods)]
    deadline = clock.monotonic() + timeout if timeout else None
    try:
        while True:
            news.clear()
            found = {}
            for target in wanted:
                document = tables[target.kind.kind].get(target.name, namespace)
                if document is None:
                    raise MotetError(f"{target} was deleted")
                mine = pods.select(namespace, selectors.from_map({app_kind.LABEL: target.name}))
                found[target] = judge(target, document, mine if target.kind is APP else (), clock.now())
            progress.show(Line(str(target), _SHOWN[each.phase], each.told) for target, each in found.items())
            if not watch or all(verdict.over for verdict in found.values()):
                return found
            if deadline is not None and clock.monotonic() > deadline:
                return found
            await waiting.wait(news, clock, _LOOK_EVERY)
    finally:
        for stop in stops:
            stop()


def _print(found: dict[Target, Verdict], form: str) -> None:
    if form != "table":
        rows = [
            {"kind": target.kind.kind, "name": target.name, "phase": each.phase.value}
            | {"message": each.told, "updated": each.updated, "available": each.available, "wanted": each.wanted}
            for target, each in found.items()
        ]
        click.echo(output.structured(rows, form))
        return
    for target, each in found.items():
        late = "not done in time: " if not each.over else ""
        colour = {Phase.DONE: "green", Phase.WAITING: "yellow"}.get(each.phase, "red")
        click.echo(output.paint(f"{target} {late}{output.clean(each.told)}", colour))
