"""Tables: the rows and columns that `kubectl get` prints (meta.k8s.io Table).

The columns are data of the kind (`Kind.columns`); a kind without any shows its name and its age.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from motet.api.http.answers import encode
from motet.api.listing import Page
from motet.base.errors import BadRequest
from motet.kinds.columns import AGE, NAME, column, number_at
from motet.kinds.kind import Column, Json, Kind
from motet.store.document import Document

Include = Literal["None", "Metadata", "Object"]
# Rows made before other requests get their turn.
_SLICE = 250


class _Metadata(msgspec.Struct, gc=False, frozen=True):
    metadata: msgspec.Raw


_metadata_of = msgspec.json.Decoder(_Metadata).decode


def include(value: str) -> Include:
    """Parse `includeObject`. Raises BadRequest."""
    match value:
        case "" | "Metadata":
            return "Metadata"
        case "None":
            return "None"
        case "Object":
            return "Object"
        case _:
            raise BadRequest(
                f'includeObject: Unsupported value: {value!r}: supported values: "None", "Metadata", "Object"'
            )


_DEFAULT: Sequence[Column] = (NAME, AGE)
# Of autoscaling/v1 Scale, which a subresource shows.
_SCALE: Sequence[Column] = (
    NAME,
    column("Desired", number_at("spec", "replicas"), type="integer", about="Replicas asked for."),
    column("Available", number_at("status", "replicas"), type="integer", about="Replicas there are."),
    AGE,
)


def columns_of(kind: Kind, subresource: str = "") -> Sequence[Column]:
    """What is shown of this kind, or of its subresource."""
    return _SCALE if subresource == "scale" else kind.columns or _DEFAULT


def definitions(columns: Iterable[Column]) -> list[Json]:
    """`columnDefinitions`."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format or ("name" if column.name == "Name" else ""),
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]


def metadata_only(document: Document, version: str, kind: str = "PartialObjectMetadata") -> bytes:
    """The object as `PartialObjectMetadata`."""
    metadata = bytes(_metadata_of(document.raw).metadata)
    return b'{"kind":"%b","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (kind.encode(), version.encode(), metadata)


def row(columns: Sequence[Column], document: Document, shown: Include, version: str, now: datetime) -> Json:
    """One `TableRow`."""
    decoded = document.decode()
    found: Json = {"cells": [column.cell(decoded, now) for column in columns]}
    if shown == "Metadata":
        found["object"] = msgspec.Raw(metadata_only(document, version))
    elif shown == "Object":
        found["object"] = msgspec.Raw(document.raw)
    return found


def table(metadata: Json, columns: Sequence[Column] | None, rows: Sequence[Json], version: str) -> Json:
    """A `Table`; without columns, the receiver keeps to those it got before (later events of a watch)."""
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": definitions(columns) if columns is not None else [],
        "rows": rows,
    }


async def of_page(kind: Kind, page: Page, shown: Include, version: str, now: datetime) -> bytes:
    """A list as a Table, made in slices so that a long one holds up nobody."""
    columns = columns_of(kind)
    rows: list[Json] = []
    for start in range(0, len(page.documents), _SLICE):
        if start:
            await asyncio.sleep(0)
        rows.extend(row(columns, document, shown, version, now) for document in page.documents[start : start + _SLICE])
    return encode(table(page.metadata(), columns, rows, version))


def of_document(
    kind: Kind, document: Document, shown: Include, version: str, now: datetime, subresource: str = ""
) -> bytes:
    """A single object as a Table of one row."""
    columns = columns_of(kind, subresource)
    metadata = {"resourceVersion": document.meta.resource_version}
    return encode(table(metadata, columns, [row(columns, document, shown, version, now)], version))


def of_event(
    columns: Sequence[Column] | None,
    rows_with: Sequence[Column],
    document: Document,
    shown: Include,
    version: str,
    now: datetime,
) -> dict[str, Any]:
    """The object of a watch event as a Table of one row; `columns` None leaves the definitions out."""
    metadata = {"resourceVersion": document.meta.resource_version}
    return table(metadata, columns, [row(rows_with, document, shown, version, now)], version)
