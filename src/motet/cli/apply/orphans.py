"""Services of a project that its file no longer has."""

from __future__ import annotations

import contextlib

from motet.base import selectors
from motet.base.errors import NotFound
from motet.cli.compose.model import Project
from motet.cli.compose.translate import PROJECT, SERVICE, documents, object_name
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.kinds import service as service_kind
from motet.kinds.kind import Kind
from motet.store.document import Document

_OWNED = (app_kind.KIND, service_kind.KIND)


async def orphans(client: Client, project: Project) -> list[str]:
    """Names of services that run in the project and are not in the file."""
    return sorted(
        {(document.meta.labels or {}).get(SERVICE, document.name) for _, document in await _extra(client, project)}
    )


async def _extra(client: Client, project: Project) -> list[tuple[Kind, Document]]:
    wanted = {(document["kind"], document["metadata"]["name"]) for document in documents(project, {})}
    asleep = {object_name(name) for name in project.asleep}
    ours = selectors.from_map({PROJECT: project.name})
    return [
        (kind, document)
        for kind in _OWNED
        for document in await client.list(kind, project.name, labels=ours)
        if (kind.kind, document.name) not in wanted
        and (document.meta.labels or {}).get(SERVICE) not in asleep
        and document.meta.deletion_timestamp is None
    ]


async def remove(client: Client, project: Project) -> None:
    """Delete what `orphans` found."""
    for kind, document in await _extra(client, project):
        with contextlib.suppress(NotFound):
            await client.delete(kind, document.name, document.namespace, propagation="Background")
