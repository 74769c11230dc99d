"""`motet ps`: what runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from motet.base import selectors
from motet.cli import addresses, output, project, session
from motet.cli.addresses import Published
from motet.cli.apply import states
from motet.cli.apply.states import AppView, Phase, PodView
from motet.cli.compose.translate import PROJECT
from motet.cli.options import data_dir_option
from motet.client.interface import Client
from motet.kinds import ages
from motet.kinds import app as app_kind
from motet.kinds import pod as pod_kind
from motet.machine.layout import Machine
from motet.store.document import Document

_COLOURS = {"ready": "green", "completed": "green", "running": "green", "failed": "red"}


class ServiceRow(msgspec.Struct, frozen=True):
    """One service."""

    project: str
    name: str
    mode: str
    ready: str
    image: str
    ports: list[str]
    state: str
    age: str
    detail: str = ""


class PodRow(msgspec.Struct, frozen=True):
    """One pod. `restarts` is how often its container was started again."""

    project: str
    name: str
    ready: bool
    state: str
    restarts: int
    node: str
    address: str
    age: str


@click.command()
@project.project_option
@data_dir_option
@click.option("-a", "--all", "pods", is_flag=True, help="Show every pod instead of services.")
@output.output_option()
def command(project: str, data_dir: Path, pods: bool, output: str) -> None:
    """List services and how they are doing: of this folder's project, of -p NAME, or of all projects."""
    _ps(project, data_dir, pods, output)


def _ps(name: str, data_dir: Path, pods: bool, form: str) -> None:
    rows: Sequence[Any] = session.run(_gather(name, data_dir, pods))
    if form in ("json", "yaml"):
        click.echo(output.structured(rows, form))
    elif not rows:
        click.echo("nothing runs; start a project: motet up FILE", err=True)
    else:
        click.echo(pod_table(rows, form == "wide") if pods else service_table(rows, form == "wide"))


async def _gather(name: str, data_dir: Path, pods: bool) -> Sequence[ServiceRow] | Sequence[PodRow]:
    settings = Machine(data_dir).settings()
    address = settings.address if settings else ""
    async with session.connected(data_dir) as client:
        known = await project.names(client)
        if name:
            await project.require(client, name)
        elif (here := project.named("")) in known:
            name = here
        now = datetime.now(UTC)
        return await pod_rows(client, name, now) if pods else await service_rows(client, name, address, now)


async def service_rows(client: Client, name: str, address: str, now: datetime) -> list[ServiceRow]:
    """The services of one project, or of all."""
    apps = [item for item in await client.list(app_kind.KIND, name) if _project_of(item)]
    pods = await client.list(pod_kind.KIND, name)
    outside = await addresses.published(client, name, address)
    return [
        _service_row(app, [pod for pod in pods if _belongs(pod, app)], outside.get((app.namespace, app.name), []), now)
        for app in apps
    ]


def _service_row(app: Document, pods: list[Document], outside: list[Published], now: datetime) -> ServiceRow:
    view = app.view(AppView)
    state = states.judge(app, pods, now)
    containers = (view.spec.template.get("spec") or {}).get("containers") or [{}]
    return ServiceRow(
        project=_project_of(app),
        name=app.name,
        mode="global" if view.everywhere else "replicated",
        ready="-" if state.phase is Phase.COMPLETED else f"{state.ready}/{state.wanted}",
        image=containers[0].get("image", ""),
        ports=[item.short for item in outside],
        state=_word(state),
        age=ages.since(app.meta.creation_timestamp, now),
        detail="" if state.settled else state.detail,
    )


def _word(state: states.ServiceState) -> str:
    if state.phase is Phase.READY:
        return "ready" if state.wanted else "scaled to 0"
    return state.failure.reason if state.failure else state.phase.value


async def pod_rows(client: Client, name: str, now: datetime) -> list[PodRow]:
    """The pods of one project, or of all."""
    ours = selectors.Selector((selectors.Requirement(PROJECT, "exists"),))
    return [_pod_row(pod, now) for pod in await client.list(pod_kind.KIND, name, labels=ours)]


def _pod_row(pod: Document, now: datetime) -> PodRow:
    view = pod.view(PodView)
    return PodRow(
        project=_project_of(pod),
        name=pod.name,
        ready=view.ready,
        state=states.pod_word(view),
        restarts=view.restarts,
        node=view.spec.node_name,
        address=view.status.pod_ip,
        age=ages.since(pod.meta.creation_timestamp, now),
    )


def _project_of(document: Document) -> str:
    return (document.meta.labels or {}).get(PROJECT, "")


def _belongs(pod: Document, app: Document) -> bool:
    return pod.namespace == app.namespace and (pod.meta.labels or {}).get(app_kind.LABEL) == app.name


def service_table(rows: Sequence[ServiceRow], wide: bool) -> str:
    """For people; the project's name only where there are several."""
    several = len({row.project for row in rows}) > 1 or wide
    header = ["PROJECT"] * several + ["NAME", "MODE", "READY", "IMAGE", "PORTS", "STATE", "AGE"] + ["DETAIL"] * wide
    return _coloured(
        header,
        [
            [row.project] * several
            + [row.name, row.mode, row.ready, row.image, ", ".join(row.ports) or "-", row.state, row.age]
            + [row.detail] * wide
            for row in rows
        ],
    )


def pod_table(rows: Sequence[PodRow], wide: bool) -> str:
    """For people."""
    several = len({row.project for row in rows}) > 1 or wide
    header = ["PROJECT"] * several + ["POD", "READY", "STATE", "RESTARTS", "NODE", "ADDRESS", "AGE"]
    return _coloured(
        header,
        [
            [row.project] * several
            + [row.name, "yes" if row.ready else "no", row.state, str(row.restarts), row.node, row.address, row.age]
            for row in rows
        ],
    )


def _coloured(header: list[str], rows: list[list[str]]) -> str:
    at = header.index("STATE")
    first, *rest = output.table(header, [[output.clean(cell) for cell in row] for row in rows]).splitlines()
    painted = []
    for line, row in zip(rest, rows, strict=True):
        start = first.index("STATE")
        colour = _COLOURS.get(row[at], "yellow")
        end = start + len(row[at])
        painted.append(line[:start] + output.paint(line[start:end], colour) + line[end:])
    return "\n".join([first, *painted])
