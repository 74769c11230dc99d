"""`motet node drain`: move everything off a node, gently."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from motet.base.errors import ApiError, MotetError, NotFound, TooManyRequests
from motet.cli import session
from motet.cli.node import nodes
from motet.cli.options import data_dir_option
from motet.cli.progress import Line, Progress, chosen
from motet.client.remote import RemoteClient
from motet.kinds import daemonset
from motet.kinds import pod as pod_kind
from motet.store.document import Document

_LOOK_EVERY = 0.3
# How long a pod that a disruption budget holds back is left alone before it is asked about again.
_ASK_AGAIN = 3.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to drain. `grace` None leaves each pod its own; `force` takes pods too that nothing replaces."""

    timeout: float = 0.0
    grace: int | None = None
    force: bool = False


@click.command()
@click.argument("name", metavar="NODE", shell_complete=nodes.complete)
@click.option("--timeout", type=click.FloatRange(min=0), default=0, help="Give up after this many seconds.")
@click.option("--grace-period", type=click.IntRange(min=0), help="Seconds each pod gets to end, instead of its own.")
@click.option("--force", is_flag=True, help="Also remove pods that nothing replaces.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@data_dir_option
def command(name: str, timeout: float, grace_period: int | None, force: bool, quiet: bool, data_dir: Path) -> None:
    """Put no new pods on a NODE, and move those there elsewhere. `motet node activate` ends it.

    The pods of daemon sets stay: they belong to their node.
    """

    async def work() -> int:
        async with session.connected(data_dir) as client:
            with chosen(quiet=quiet) as progress:
                return await drain(client, name, Wanted(timeout, grace_period, force), progress)

    moved = session.run(work())
    click.echo(f"{name} is drained ({moved} pods left it)")


async def drain(client: RemoteClient, name: str, wanted: Wanted, progress: Progress) -> int:
    """Mark the node and evict its pods; returns how many left. Raises MotetError when it takes too long."""
    first = _here(await nodes.pods_on(client, name))
    if not wanted.force:
        _refuse_orphans(first)
    await nodes.make(client, name, nodes.DRAIN)
    progress.say(f"draining {name}")
    seen: dict[str, Line] = {}
    asked: dict[str, float] = {}
    deadline = time.monotonic() + wanted.timeout if wanted.timeout else float("inf")
    while pods := _here(await nodes.pods_on(client, name)):
        left = {_called(pod) for pod in pods}
        for pod in pods:
            called = _called(pod)
            if pod.meta.deletion_timestamp is not None:
                seen[called] = Line(called, "stopping")
            elif time.monotonic() - asked.get(pod.meta.uid, float("-inf")) >= _ASK_AGAIN:
                asked[pod.meta.uid] = time.monotonic()
                seen[called] = await _evict(client, pod, wanted)
        seen.update({called: Line(called, "gone") for called in seen if called not in left})
        progress.show(seen.values())
        if time.monotonic() > deadline:
            raise MotetError(
                f"{len(pods)} pods are still on {name} after {wanted.timeout:.0f} s: {', '.join(sorted(left)[:10])}\n"
                f"  next: motet node drain {name} to go on, or motet node activate {name} to give up"
            )
        await asyncio.sleep(_LOOK_EVERY)
    progress.show([Line(called, "gone") for called in seen])
    return len(seen)


async def _evict(client: RemoteClient, pod: Document, wanted: Wanted) -> Line:
    options: dict[str, Any] = {"preconditions": {"uid": pod.meta.uid}}
    if wanted.grace is not None:
        options["gracePeriodSeconds"] = wanted.grace
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": options,
    }
    called = _called(pod)
    try:
        await client.request("POST", pod_kind.KIND.path(pod.namespace, pod.name, "eviction"), eviction)
    except NotFound:
        return Line(called, "gone")
    except TooManyRequests as error:
        return Line(called, "waiting", error.message)
    except ApiError as error:
        return Line(called, "failed", error.message)
    return Line(called, "stopping")


def _here(pods: Iterable[Document]) -> list[Document]:
    """Those that run, or may again, and can go elsewhere: a daemon set's would be made again at once."""
    return [pod for pod in pods if not pod.view(nodes.PodView).finished and not _is_daemon(pod)]


def _is_daemon(pod: Document) -> bool:
    controller = pod.meta.controller()
    return (
        controller is not None and controller.kind == daemonset.KIND.kind and controller.api_version.startswith("apps/")
    )


def _refuse_orphans(pods: Iterable[Document]) -> None:
    orphans = sorted(_called(pod) for pod in pods if pod.meta.controller() is None)
    if orphans:
        raise MotetError(
            f"nothing replaces these pods when they are removed: {', '.join(orphans[:10])}; to remove them all the "
            "same: --force"
        )


def _called(pod: Document) -> str:
    return f"{pod.namespace}/{pod.name}"
