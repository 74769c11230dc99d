from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from motet.api.http import tables
from motet.api.listing import Page
from motet.base.errors import BadRequest
from motet.base.timestamps import format_time
from motet.kinds.kind import Column, Kind
from motet.store.document import Document, encode

NOW = datetime(2026, 1, 10, tzinfo=UTC)
KIND = Kind(group="", version="v1", kind="Thing", plural="things")
STRIPED = Kind(
    group="",
    version="v1",
    kind="Thing",
    plural="things",
    columns=(
        Column("Name", lambda d, now: d["metadata"]["name"]),
        Column("Size", lambda d, now: d["size"], type="integer", priority=1),
    ),
)


def thing(name: str, age: timedelta = timedelta(0)) -> Document:
    value = {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": name, "creationTimestamp": format_time(NOW - age)},
        "size": 7,
    }
    return Document.stored(f"core/things//{name}", encode(value), 5)


async def test_a_kind_without_columns_shows_name_and_age() -> None:
    data = await tables.of_page(KIND, Page([thing("a", timedelta(minutes=3))], 9), "Metadata", "v1", NOW)
    table = msgspec.json.decode(data)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Age"]
    assert table["rows"][0]["cells"] == ["a", "3m"]
    assert table["metadata"] == {"resourceVersion": "9"}


async def test_the_columns_of_a_kind_are_its_own() -> None:
    table = msgspec.json.decode(tables.of_document(STRIPED, thing("a"), "None", "v1", NOW))
    assert [(column["name"], column["priority"], column["format"]) for column in table["columnDefinitions"]] == [
        ("Name", 0, "name"),
        ("Size", 1, ""),
    ]
    assert table["rows"] == [{"cells": ["a", 7]}]


@pytest.mark.parametrize(("shown", "kind"), [("Metadata", "PartialObjectMetadata"), ("Object", "Thing")])
def test_rows_carry_as_much_of_the_object_as_asked(shown: tables.Include, kind: str) -> None:
    table = msgspec.json.decode(tables.of_document(STRIPED, thing("a"), shown, "v1beta1", NOW))
    assert table["apiVersion"] == "meta.k8s.io/v1beta1"
    assert table["rows"][0]["object"]["kind"] == kind


async def test_a_long_table_keeps_its_order() -> None:
    names = [f"t{number:04}" for number in range(1200)]
    data = await tables.of_page(STRIPED, Page([thing(name) for name in names], 9), "None", "v1", NOW)
    assert [row["cells"][0] for row in msgspec.json.decode(data)["rows"]] == names


def test_an_unknown_inclusion_is_refused() -> None:
    with pytest.raises(BadRequest):
        tables.include("Everything")


def test_a_scale_shows_what_is_wanted_and_what_there_is() -> None:
    scale = {"metadata": {"name": "a"}, "spec": {"replicas": 3}, "status": {"replicas": 2}}
    document = Document.stored("core/things//a", encode(scale), 1)
    table = msgspec.json.decode(tables.of_document(STRIPED, document, "None", "v1", NOW, "scale"))
    assert table["rows"][0]["cells"][:3] == ["a", 3, 2]
