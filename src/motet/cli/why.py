"""`motet why`: why a pod waits, or why it runs where it does, node by node.

The scheduler's own rules are asked again here, over what the API shows at this moment.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from motet.cli import output, session
from motet.cli.options import data_dir_option
from motet.client.interface import Client
from motet.kinds import namespace as namespace_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.machine.layout import Machine
from motet.scheduler import picture, profiles
from motet.scheduler.claims import Storage
from motet.scheduler.classes import PodClass
from motet.scheduler.profiles import USUAL, Profiles
from motet.scheduler.views import PodView
from motet.scheduler.why import Lack, Verdict, verdicts
from motet.store.document import Document


class Answer(msgspec.Struct, frozen=True):
    """About one pod. `waits` is what keeps it from every node at once; `node` where it is, if anywhere; `nominated` the node
    that others are leaving for it.
    """

    pod: str
    node: str
    waits: str
    nodes: list[Verdict]
    nominated: str = ""


@click.command()
@click.argument("pod", metavar="[NAMESPACE/]POD")
@click.option("-n", "--namespace", default="default", show_default=True, help="Where the pod is.")
@output.output_option("table", "json", "yaml")
@data_dir_option
def command(pod: str, namespace: str, output: str, data_dir: Path) -> None:
    """Say why a POD waits, or why it is where it is: each node, every reason, and the scores."""
    _why(pod, namespace, output, data_dir)


def _why(pod: str, namespace: str, form: str, data_dir: Path) -> None:
    within, _, name = pod.rpartition("/")

    async def work() -> Answer:
        async with session.connected(data_dir) as client:
            known = profiles.load(Machine(data_dir).server_dir / profiles.FILE)
            return await asked(client, within or namespace, name, known)

    answer = session.run(work())
    click.echo(output.structured(answer, form) if form != "table" else told(answer))


async def asked(client: Client, namespace: str, name: str, known: Profiles = USUAL) -> Answer:
    """The verdicts on one pod. Raises NotFound."""
    document = await client.get(pod_kind.KIND, name, namespace)
    nodes, pods, namespaces = await asyncio.gather(
        client.list(node_kind.KIND), client.list(pod_kind.KIND), client.list(namespace_kind.KIND)
    )
    storage = await Storage.over(client)
    snapshot, classes = picture.taken(nodes, pods, namespaces, without=document.key, known=known)
    pod_class = classes.of(document)

    def in_use(namespace: str, claim: str) -> bool:
        others = (each for each in pods if each.key != document.key and each.namespace == namespace)
        return any(picture.counts(each) and claim in classes.of(each).claims for each in others)

    claims = storage.of(pod_class, {}, in_use)
    view = document.view(PodView)
    waits = _held_back(document, pod_class, known) or claims.problem
    return Answer(
        pod=f"{namespace}/{name}",
        node=view.spec.node_name,
        waits=waits,
        nodes=verdicts(snapshot, pod_class, tuple(claims.filters)),
        nominated="" if view.spec.node_name else view.status.nominated_node_name,
    )


def _held_back(document: Document, pod_class: PodClass, known: Profiles) -> str:
    spec = document.view(PodView).spec
    if spec.scheduler_name not in known and not spec.node_name:
        return f"it waits for another scheduler: {spec.scheduler_name}"
    if spec.scheduling_gates:
        return f"scheduling gates hold it: {', '.join(gate.get('name', '') for gate in spec.scheduling_gates)}"
    if pod_class.unsupported:
        return f"not supported yet: {', '.join(pod_class.unsupported)}"
    return ""


def told(answer: Answer) -> str:
    """For people."""
    fitting = sum(each.fits for each in answer.nodes)
    if answer.node:
        head = f"{answer.pod} is on {answer.node}; now {fitting} of {len(answer.nodes)} nodes would do"
    else:
        head = f"{answer.pod} waits; {fitting} of {len(answer.nodes)} nodes would do"
    if answer.waits:
        head += f"\n{answer.waits}"
    if answer.nominated:
        head += f"\npods of lower priority are leaving {answer.nominated} for it"
    rows = []
    for each in answer.nodes:
        if each.fits:
            why = ", ".join(f"{name} {value:g}" for name, value in each.parts)
            rows.append([each.node, output.paint("fits", "green"), f"{each.score:g}", why])
        else:
            why = "; ".join([*each.reasons, *(_lack(lack) for lack in each.lacks)])
            rows.append([each.node, output.paint("no", "red"), "", why])
    return f"{head}\n{output.table(['NODE', 'FITS', 'SCORE', 'WHY'], rows)}".rstrip()


def _lack(lack: Lack) -> str:
    if lack.resource == "pods":
        return "Too many pods"
    wanted, free = (_amount(lack.resource, amount) for amount in (lack.wanted, max(lack.free, 0)))
    more = _amount(lack.resource, lack.wanted - lack.free)
    return f"Insufficient {lack.resource}: wants {wanted}, {free} free (fits if {more} more were free)"


def _amount(resource: str, amount: int) -> str:
    """In the units people write: `250m`, `512Mi`."""
    if resource == "cpu":
        return f"{amount}m" if amount % 1000 else str(amount // 1000)
    if resource not in ("memory", "ephemeral-storage"):
        return str(amount)
    for unit, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount >= size:
            return f"{amount / size:.4g}{unit}"
    return str(amount)
