"""Nodes as the command line sees them, and changing what they may be used for.

Availability has Swarm's three words: `active` takes pods, `pause` takes no new ones, `drain` is to have none. Beneath they are
Kubernetes' `spec.unschedulable` and an annotation that tells drain from pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from motet.base.errors import ApiError, Conflict, MotetError, NotFound
from motet.base.selectors import FieldSelector, FieldTerm
from motet.cli import session
from motet.client.interface import Client
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.machine import lifecycle
from motet.machine.layout import Machine
from motet.store.document import Document, Meta

_BAD_IF_TRUE = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "ClockSkew"})
ACTIVE, PAUSE, DRAIN = node_kind.AVAILABILITIES
_COMPLETION_SECONDS = 2.0


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    address: str = ""


class _Condition(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    status: str = ""
    message: str = ""


class _Info(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""
    architecture: str = ""


class _Taint(msgspec.Struct, gc=False, frozen=True):
    key: str
    effect: str = ""
    value: str = ""


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    unschedulable: bool = False
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")
    taints: tuple[_Taint, ...] | None = None


class _Status(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    addresses: tuple[_Address, ...] | None = None
    conditions: tuple[_Condition, ...] | None = None
    node_info: _Info = _Info()
    capacity: dict[str, Any] | None = None
    allocatable: dict[str, Any] | None = None


class NodeView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def state(self) -> str:
        """`ready`, `not ready`, `unknown` when its agent is silent, or `new` before it was heard of."""
        ready = next((each for each in self.status.conditions or () if each.type == "Ready"), None)
        if ready is None:
            return "new"
        return {"True": "ready", "False": "not ready"}.get(ready.status, "unknown")

    @property
    def trouble(self) -> str:
        """Why it is not ready, and what else is the matter with it."""
        return troubles((each.type, each.status, each.message) for each in self.status.conditions or ())

    @property
    def availability(self) -> str:
        return node_kind.availability(self.metadata.annotations, unschedulable=self.spec.unschedulable)

    @property
    def address(self) -> str:
        return next((each.address for each in self.status.addresses or () if each.type == "InternalIP"), "")


def troubles(conditions: Iterable[tuple[str, str, str]]) -> str:
    """What (type, status, message) of a Node's conditions people should know; empty when all is well."""
    return "; ".join(
        message or kind
        for kind, status, message in conditions
        if (kind == "Ready" and status != "True") or (kind in _BAD_IF_TRUE and status == "True")
    )


class PodNodeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class _PodStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""


class PodView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: PodNodeSpec = PodNodeSpec()
    status: _PodStatus = _PodStatus()

    @property
    def finished(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")


async def find(client: Client, name: str) -> Document:
    """The Node named. Raises MotetError that lists those there are."""
    try:
        return await client.get(node_kind.KIND, name)
    except NotFound:
        known = ", ".join(document.name for document in await client.list(node_kind.KIND))
        raise MotetError(f"there is no node {name!r}; there are: {known or 'none'}") from None


async def pods_on(client: Client, name: str) -> list[Document]:
    """Every pod bound to a node."""
    selector = FieldSelector((FieldTerm("spec.nodeName", name),))
    return list(await client.list(pod_kind.KIND, fields=selector))


async def make(client: Client, name: str, availability: str) -> bool:
    """Say what a node may be used for; whether that is news. Raises MotetError, ApiError."""
    document = await find(client, name)
    view = document.view(NodeView)
    if view.availability == availability:
        return False
    marked = availability if availability == DRAIN else None
    patch: dict[str, Any] = {
        "metadata": {"annotations": {node_kind.AVAILABILITY: marked}},
        "spec": {"unschedulable": True if availability != ACTIVE else None},
    }
    if any(taint.key == node_kind.DRAIN_TAINT for taint in view.spec.taints or ()):
        kept = [msgspec.to_builtins(each) for each in view.spec.taints or () if each.key != node_kind.DRAIN_TAINT]
        patch["metadata"]["resourceVersion"] = document.meta.resource_version
        patch["spec"]["taints"] = kept or None
    await client.patch(node_kind.KIND, name, patch)
    return True


async def change(client: Client, name: str, labels: dict[str, str | None]) -> None:
    """Set labels, or take those away that are None. Raises MotetError when one is not there to be taken away."""
    known = (await find(client, name)).meta.labels or {}
    missing = [key for key, value in labels.items() if value is None and key not in known]
    if missing:
        raise MotetError(f"node {name!r} has no label {', '.join(missing)}")
    try:
        await client.patch(node_kind.KIND, name, {"metadata": {"labels": labels}})
    except Conflict as error:
        raise MotetError(f"node {name!r} was changed by somebody else meanwhile; try again") from error


def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of nodes, for the shell. Silent when there is no cluster to ask."""
    data_dir = ctx.params.get("data_dir")
    try:
        return [name for name in asyncio.run(_names(Path(data_dir or "/var/lib/motet"))) if name.startswith(incomplete)]
    except (ApiError, MotetError, OSError, TimeoutError):
        return []


async def _names(data_dir: Path) -> list[str]:
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is None:
        return []
    async with asyncio.timeout(_COMPLETION_SECONDS), lifecycle.connect(machine, settings) as client:
        return [document.name for document in await client.list(node_kind.KIND)]


def run_each(data_dir: Path, names: tuple[str, ...], availability: str, news: str, none: str) -> None:
    """`make` each of `names` and tell the outcome."""

    async def work() -> None:
        async with session.connected(data_dir) as client:
            for name in names:
                changed = await make(client, name, availability)
                click.echo(f"{name} {news if changed else none}")

    session.run(work())
