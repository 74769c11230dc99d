"""Finding the Apps and pods behind the service names that people type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from motet.base import selectors
from motet.base.errors import MotetError
from motet.cli import project
from motet.cli.compose.source import ComposeError
from motet.cli.compose.translate import PROJECT, object_name
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.kinds import pod as pod_kind
from motet.kinds.tasks import NODE_ANNOTATION, SLOT_LABEL
from motet.store.document import Document


async def apps(client: Client, name: str, wanted: Sequence[str] = ()) -> list[Document]:
    """The Apps of a project: those named, in that order, or all. Raises MotetError for one that is not there."""
    ours = selectors.from_map({PROJECT: name})
    known = {document.name: document for document in await client.list(app_kind.KIND, name, labels=ours)}
    missing = [service for service in wanted if object_name(service) not in known]
    if missing:
        there = f"there are: {', '.join(known)}" if known else "it has none"
        raise MotetError(f"project {name} has no service {', '.join(missing)} ({there})")
    return [known[object_name(service)] for service in dict.fromkeys(wanted)] if wanted else list(known.values())


async def pods(client: Client, name: str, service: str) -> list[Document]:
    """The pods of one App that are not on their way out, in the order of their slots."""
    mine = selectors.from_map({app_kind.LABEL: service})
    found = await client.list(pod_kind.KIND, name, labels=mine)
    return sorted((pod for pod in found if pod.meta.deletion_timestamp is None), key=_order)


def _order(pod: Document) -> tuple[int, str]:
    slot = (pod.meta.labels or {}).get(SLOT_LABEL, "")
    return (int(slot) if slot.isdigit() else 0, pod.name)


def short_name(pod: Document) -> str:
    """`web-1`, or `web@node` for a service that runs on every node: the name in front of log lines."""
    labels, annotations = pod.meta.labels or {}, pod.meta.annotations or {}
    service = labels.get(app_kind.LABEL, pod.name)
    if slot := labels.get(SLOT_LABEL):
        return f"{service}-{slot}"
    node = annotations.get(NODE_ANNOTATION, "")
    return f"{service}@{node}" if node else pod.name


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Service names of the Compose file here: read without a cluster, since completion must be quick."""
    try:
        file = project.found_file(Path())
        found = project.service_names(file) if file else []
    except (ComposeError, OSError):
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]
