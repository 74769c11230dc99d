"""`motet rebalance`: after machines came, spread what runs over them. Nothing moves unless somebody asks.

One pod at a time, through the eviction API, so that disruption budgets hold; the next goes only when what replaced the last one is
ready. Everything is looked at anew before each move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec

from motet.base.clock import Clock, SystemClock
from motet.base.errors import MotetError, NotFound, TooManyRequests
from motet.cli import output, session
from motet.cli.apply.states import AppView
from motet.cli.options import data_dir_option
from motet.cli.progress import Line, Progress, chosen
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.podview import PodView
from motet.kinds import app as app_kind
from motet.kinds import namespace as namespace_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.scheduler import picture
from motet.scheduler.claims import Storage
from motet.scheduler.rebalance import Candidate, moves, next_move
from motet.scheduler.snapshot import Snapshot
from motet.store.document import Document

# Whose pods are one as good as another, and are replaced when one goes.
_SPREAD = frozenset({"ReplicaSet", "ReplicationController", "StatefulSet", "App"})
_LOOK_EVERY = 0.3
_ASK_AGAIN = 2.0


class Moved(msgspec.Struct, frozen=True):
    """One pod that went, or would go (`by` is empty then)."""

    pod: str
    source: str
    target: str
    by: str = ""


class Outcome(msgspec.Struct):
    """`alone` says of which pods' owners, named by one of their pods, nothing was moved, and why."""

    moved: list[Moved] = []
    alone: dict[str, str] = {}


@dataclass(slots=True)
class Look:
    """The cluster at one moment: what may move, and why the rest of the spread workloads may not."""

    snapshot: Snapshot
    candidates: list[Candidate] = field(default_factory=list)
    pods: dict[str, Document] = field(default_factory=dict)
    busy: dict[str, str] = field(default_factory=dict)
    uids: frozenset[str] = frozenset()


@click.command()
@click.option("-n", "--namespace", default="", metavar="NAME", help="Only this namespace (project); all by default.")
@click.option("--dry-run", is_flag=True, help="Say what would move, and move nothing.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=300, show_default=True, help="Seconds to wait for each pod."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@data_dir_option
@output.output_option("text", "json", "yaml")
def command(namespace: str, dry_run: bool, timeout: float, quiet: bool, data_dir: Path, output: str) -> None:
    """Spread pods evenly over the nodes there are now, one at a time.

    Moves pods of deployments, services of a project and the like where that makes them lie more evenly. Pods that run once,
    everywhere, or to their end stay, and so do those whose volumes keep them where they are.
    """
    _run(namespace, dry_run, timeout, quiet, data_dir, output)


def _run(namespace: str, dry_run: bool, timeout: float, quiet: bool, data_dir: Path, form: str) -> None:
    async def work() -> Outcome:
        async with session.connected(data_dir) as client:
            if dry_run:
                return await foresee(client, namespace)
            with chosen(quiet=quiet) as progress:
                return await rebalance(client, namespace, progress, SystemClock(), timeout)

    outcome = session.run(work())
    click.echo(output.structured(outcome, form) if form != "text" else told(outcome, dry_run=dry_run))


def told(outcome: Outcome, *, dry_run: bool) -> str:
    """For people."""
    lines = []
    for move in outcome.moved:
        by = f" as {move.by}" if move.by else ""
        lines.append(f"{move.pod}: {move.source} -> {move.target}{by}")
    lines += [f"{pod} and the like are left alone: {output.clean(why)}" for pod, why in outcome.alone.items()]
    count = len(outcome.moved)
    if not count:
        return "\n".join([*lines, "nothing to move: the pods lie as evenly as they can"])
    pods = "1 pod" if count == 1 else f"{count} pods"
    return "\n".join([*lines, f"{pods} would move (a dry run: nothing was moved)" if dry_run else f"{pods} moved"])


async def foresee(client: Client, namespace: str) -> Outcome:
    """What `rebalance` would do as things stand."""
    if len(await client.list(node_kind.KIND)) < 2:
        return Outcome([], {})
    look = await survey(client, namespace, await Storage.over(client))
    found = [
        Moved(move.candidate.name, move.candidate.node, move.target) for move in moves(look.snapshot, look.candidates)
    ]
    return Outcome(found, look.busy)


async def rebalance(client: Client, namespace: str, progress: Progress, clock: Clock, timeout: float) -> Outcome:
    """Move until all is even. Raises MotetError when what replaces a pod does not become ready in time."""
    outcome = Outcome([], {})
    settled: set[str] = set()
    storage = await Storage.over(client)
    progress.say("looking for pods that would be better off elsewhere")
    while True:
        look = await survey(client, namespace, storage)
        outcome.alone.update(look.busy)
        move = next_move(look.snapshot, [each for each in look.candidates if each.pod_class.owner not in settled])
        if move is None:
            return outcome
        pod = look.pods[move.candidate.name]
        progress.say(f"moving {move.candidate.name} off {move.candidate.node}")
        if why := await _evict(client, pod, progress, clock, timeout):
            outcome.alone[move.candidate.name] = why
            settled.add(move.candidate.pod_class.owner)
            continue
        heir = await _replaced(client, pod, clock, timeout, look.uids)
        node = heir.view(PodView).spec.node_name
        progress.show([Line(move.candidate.name, "gone", f"now {heir.name} on {node}")])
        outcome.moved.append(Moved(move.candidate.name, move.candidate.node, node, heir.name))
        if node == move.candidate.node:
            # The scheduler sees something that we do not; asking again would only go round in circles.
            settled.add(move.candidate.pod_class.owner)


async def survey(client: Client, namespace: str, storage: Storage) -> Look:
    """Look at everything at once."""
    nodes, pods, namespaces, apps = await asyncio.gather(
        client.list(node_kind.KIND),
        client.list(pod_kind.KIND),
        client.list(namespace_kind.KIND),
        client.list(app_kind.KIND),
    )
    everywhere = {app.meta.uid for app in apps if app.view(AppView).everywhere}
    snapshot, classes = picture.taken(nodes, pods, namespaces)
    look = Look(snapshot, uids=frozenset(pod.meta.uid for pod in pods))
    unsettled = _unsettled(pods)
    for pod in pods:
        owner, view = pod.meta.controller(), pod.view(PodView)
        if owner is None or owner.kind not in _SPREAD or owner.uid in everywhere or podview.is_finished(view):
            continue
        if namespace not in ("", pod.namespace) or not view.spec.node_name:
            continue
        name = f"{pod.namespace}/{pod.name}"
        if owner.uid in unsettled:
            if unsettled[owner.uid] is pod:
                look.busy[name] = "it is not ready"
            continue
        pod_class = classes.of(pod)
        claims = storage.of(pod_class, {})
        if not claims.problem:
            look.candidates.append(Candidate(name, view.spec.node_name, pod_class, tuple(claims.filters)))
            look.pods[name] = pod
    return look


def _unsettled(pods: Iterable[Document]) -> dict[str, Document]:
    """Owners that have a pod that is not ready, or is on its way out, and that pod."""
    found: dict[str, Document] = {}
    for pod in pods:
        owner, view = pod.meta.controller(), pod.view(PodView)
        if owner is None or podview.is_finished(view):
            continue
        if pod.meta.deletion_timestamp is not None or not podview.is_ready(view):
            found.setdefault(owner.uid, pod)
    return found


async def _evict(client: Client, pod: Document, progress: Progress, clock: Clock, timeout: float) -> str:
    """Ask until a disruption budget lets the pod go; why it did not in time, or nothing."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.meta.uid}},
    }
    deadline = clock.monotonic() + timeout
    while True:
        try:
            await client.post(pod_kind.KIND, pod.name, "eviction", eviction, pod.namespace)
            return ""
        except NotFound:
            return ""
        except TooManyRequests as error:
            progress.show([Line(f"{pod.namespace}/{pod.name}", "waiting", error.message)])
            if clock.monotonic() >= deadline:
                return error.message
        await clock.sleep(_ASK_AGAIN)


async def _replaced(client: Client, pod: Document, clock: Clock, timeout: float, known: frozenset[str]) -> Document:
    """The pod that came instead, once it is ready and the old one is gone. Raises MotetError."""
    owner = pod.meta.controller()
    assert owner is not None
    deadline = clock.monotonic() + timeout
    while True:
        mine = [each for each in await client.list(pod_kind.KIND, pod.namespace) if _owner(each) == owner.uid]
        there = [each for each in mine if each.meta.uid == pod.meta.uid]
        heirs = [each for each in mine if each.meta.uid not in known and podview.is_ready(each.view(PodView))]
        if heirs and not there:
            return heirs[-1]
        if clock.monotonic() >= deadline:
            what = "what replaces it is not ready" if not there else "it does not end"
            raise MotetError(
                f"{pod.namespace}/{pod.name} was told to go, and {what} after {timeout:.0f} s; nothing else is moved.\n"
                f"  next: motet status, kubectl -n {pod.namespace} get pods"
            )
        await clock.sleep(_LOOK_EVERY)


def _owner(pod: Document) -> str:
    owner = pod.meta.controller()
    return owner.uid if owner is not None else ""
