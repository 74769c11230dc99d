"""`motet status`: how this machine's cluster is doing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from motet.agent import machine as node_machine
from motet.base import quantity, release
from motet.cli import addresses, output, project, session
from motet.cli.node.nodes import troubles
from motet.cli.options import data_dir_option
from motet.client.interface import Client
from motet.kinds import ages
from motet.kinds import event as event_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.machine import lifecycle
from motet.machine.layout import Machine
from motet.store.document import Document

_GIB = 1024**3
_WARNINGS = 5


class NodeRow(msgspec.Struct, frozen=True):
    """One node. Amounts as Kubernetes writes them."""

    name: str
    state: str
    address: str
    version: str
    pods: int
    cpu: str
    memory: str
    age: str
    reason: str = ""


class WarningRow(msgspec.Struct, frozen=True):
    """Something that went wrong lately."""

    about: str
    reason: str
    message: str
    count: int
    age: str


class Status(msgspec.Struct, frozen=True):
    """The whole. Sizes in bytes."""

    version: str
    api: str
    data_dir: str
    daemon: int
    encrypted: bool
    projects: list[str]
    nodes: list[NodeRow]
    disk_free: int
    disk_total: int
    memory_available: int
    memory_total: int
    addresses: dict[str, list[str]]
    warnings: list[WarningRow]


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class _Condition(_Struct, frozen=True):
    type: str
    status: str = ""
    message: str = ""


class _Address(_Struct, frozen=True):
    type: str
    address: str


class _Info(_Struct, frozen=True):
    kubelet_version: str = ""
    container_runtime_version: str = ""


class _NodeSpec(_Struct, frozen=True):
    unschedulable: bool = False


class _NodeStatus(_Struct, frozen=True):
    conditions: tuple[_Condition, ...] | None = None
    addresses: tuple[_Address, ...] | None = None
    capacity: dict[str, str] | None = None
    node_info: _Info = _Info()


class _NodeView(_Struct, frozen=True):
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


class _PodSpec(_Struct, frozen=True):
    node_name: str = ""


class _PodStatus(_Struct, frozen=True):
    phase: str = ""


class _PodView(_Struct, frozen=True):
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class _About(_Struct, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class _EventView(_Struct, frozen=True):
    involved_object: _About = _About()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 1
    last_timestamp: str | None = None
    event_time: str | None = None

    @property
    def at(self) -> str:
        return self.last_timestamp or self.event_time or ""


@click.command()
@data_dir_option
@output.output_option("text", "json", "yaml")
def command(data_dir: Path, output: str) -> None:
    """Show the node, what it has left, what can be reached, and what went wrong lately."""
    _status(data_dir, output)


def _status(data_dir: Path, form: str) -> None:
    found = session.run(_gather(Machine(data_dir)))
    click.echo(output.structured(found, form) if form != "text" else render(found))


async def _gather(machine: Machine) -> Status:
    settings = machine.settings()
    async with session.connected(machine.data_dir) as client:
        assert settings is not None
        now = datetime.now(UTC)
        pods = await client.list(pod_kind.KIND)
        published = await addresses.published(client, "", settings.address)
        disk, memory = shutil.disk_usage(machine.data_dir), node_machine.look(machine.data_dir).memory
        return Status(
            version=release.VERSION,
            api=f"https://{settings.address}:{settings.port}",
            data_dir=str(machine.data_dir),
            daemon=lifecycle.running(machine),
            encrypted=settings.encrypted,
            projects=await project.names(client),
            nodes=[node_row(node, pods, now) for node in await client.list(node_kind.KIND)],
            disk_free=disk.free,
            disk_total=disk.total,
            memory_available=node_machine.load().memory_available,
            memory_total=memory,
            addresses={
                f"{where}/{name}": [item.url for item in items] for (where, name), items in published.items() if items
            },
            warnings=await _warnings(client, now),
        )


def node_row(node: Document, pods: Sequence[Document], now: datetime) -> NodeRow:
    """One node as `status` shows it."""
    view = node.view(_NodeView)
    ready = next((item for item in view.status.conditions or () if item.type == "Ready"), None)
    fine = ready is not None and ready.status == "True"
    capacity = view.status.capacity or {}
    mine = [pod.view(_PodView) for pod in pods]
    return NodeRow(
        name=node.name,
        state="cordoned" if fine and view.spec.unschedulable else "ready" if fine else "not ready",
        address=next((item.address for item in view.status.addresses or () if item.type == "InternalIP"), ""),
        version=f"{view.status.node_info.kubelet_version}, {view.status.node_info.container_runtime_version}",
        pods=sum(pod.spec.node_name == node.name and pod.status.phase in ("Pending", "Running") for pod in mine),
        cpu=capacity.get("cpu", "?"),
        memory=capacity.get("memory", "?"),
        age=ages.since(node.meta.creation_timestamp, now),
        reason=troubles((item.type, item.status, item.message) for item in view.status.conditions or ()),
    )


async def _warnings(client: Client, now: datetime) -> list[WarningRow]:
    events = [document.view(_EventView) for document in await client.list(event_kind.KIND)]
    latest = sorted((event for event in events if event.type == "Warning"), key=lambda event: event.at)[-_WARNINGS:]
    return [
        WarningRow(
            f"{event.involved_object.kind} {event.involved_object.namespace}/{event.involved_object.name}",
            event.reason,
            event.message,
            event.count,
            ages.since(event.at, now),
        )
        for event in latest
    ]


def render(status: Status) -> str:
    """For people."""
    free, total = status.disk_free / _GIB, status.disk_total / _GIB
    lines = [
        f"Motet {status.version}, API at {status.api}, data in {status.data_dir}"
        + ("" if status.daemon else " (not kept alive by a daemon)"),
        f"memory {status.memory_available / _GIB:.1f} of {status.memory_total / _GIB:.1f} GiB available, "
        f"disk {free:.1f} of {total:.1f} GiB free",
        *(["what is sent to pods of other nodes is encrypted (WireGuard)"] if status.encrypted else []),
        "projects: " + (", ".join(status.projects) or "none"),
        "",
        output.table(
            ["NODE", "STATE", "ADDRESS", "PODS", "CPU", "MEMORY", "VERSION", "AGE"],
            [
                [
                    node.name,
                    node.state,
                    node.address,
                    str(node.pods),
                    node.cpu,
                    memory_text(node.memory),
                    node.version,
                    node.age,
                ]
                for node in status.nodes
            ],
        ),
    ]
    lines += [f"  {node.name}: {output.clean(node.reason)}" for node in status.nodes if node.reason]
    if status.addresses:
        lines += ["", output.table(["SERVICE", "ADDRESS"], [[k, ", ".join(v)] for k, v in status.addresses.items()])]
    if status.warnings:
        rows = [[w.age, w.about, w.reason, output.clean(w.message)[:120]] for w in status.warnings]
        lines += ["", output.table(["WARNED", "ABOUT", "REASON", "MESSAGE"], rows)]
    return "\n".join(lines)


def memory_text(amount: str) -> str:
    """`7.7 GiB` of `8123456Ki`."""
    try:
        return f"{float(quantity.parse(amount)) / _GIB:.1f} GiB"
    except ValueError:
        return amount
