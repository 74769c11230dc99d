from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from motet.kinds import deployment, event, event_v1, pod
from motet.kinds.catalogue import KINDS, Catalogue
from motet.kinds.kind import Kind
from motet.kinds.schema import table

TABLES = Path(__file__).parents[2] / "tools" / "field_tables.py"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_kind_is_found_by_its_path_its_name_and_its_resource() -> None:
    catalogue = Catalogue()
    assert catalogue.by_path("apps", "v1", "deployments") is deployment.KIND
    assert catalogue.by_kind("v1", "Pod") is pod.KIND
    assert catalogue.by_resource("core/pods") is pod.KIND


def test_what_is_not_served_is_not_found() -> None:
    assert Catalogue().by_path("apps", "v2", "deployments") is None


def test_both_groups_of_events_share_one_stored_resource() -> None:
    catalogue = Catalogue()
    assert event_v1.KIND.resource == event.KIND.resource == "core/events"
    assert catalogue.by_resource("core/events") is event.KIND
    assert catalogue.by_resource("events.k8s.io/events") is event_v1.KIND


def test_a_second_version_of_a_kind_can_come_and_go() -> None:
    catalogue = Catalogue()
    newer = replace(pod.KIND, version="v2")
    catalogue.add(newer)
    assert catalogue.groups()[""] == ["v2", "v1"]
    catalogue.remove(pod.KIND)
    assert catalogue.by_resource("core/pods") is newer


def test_the_same_kind_cannot_be_added_twice() -> None:
    with pytest.raises(ValueError, match="already served"):
        Catalogue().add(pod.KIND)


def test_the_pages_of_fields_are_complete_up_to_date_and_not_contradicted_by_the_code() -> None:
    found = subprocess.run([sys.executable, TABLES, "check"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stdout}{found.stderr}\nsay it in tools/field_support and run {TABLES.name}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.api_version} {kind.kind}")
class TestEveryKind:
    def test_has_a_schema_that_names_it(self, kind: Kind) -> None:
        assert table.find(kind.api_version, kind.kind) is table.get(kind.schema)

    def test_survives_a_document_with_nothing_in_it(self, kind: Kind) -> None:
        document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}}
        kind.default(document)
        kind.prepare_create(document)
        kind.prepare_update(document, document)
        kind.validate(document, None)
        for column in kind.columns:
            column.cell(document, NOW)

    def test_survives_a_document_of_the_wrong_shape(self, kind: Kind) -> None:
        document = {"metadata": {"labels": 3, "name": 4}, "spec": ["x"], "status": "y", "data": 1, "subsets": [2]}
        kind.default(document)

    def test_shows_its_name_and_its_age(self, kind: Kind) -> None:
        names = [column.name for column in kind.columns]
        assert "Name" in names
        # Upstream shows no age of capacities.
        assert {"Age", "Last Seen", "Created At"} & set(names) or kind.kind == "CSIStorageCapacity"

    def test_has_a_status_in_its_schema_if_it_has_the_subresource(self, kind: Kind) -> None:
        if kind.status:
            assert table.get(kind.schema).at("status") is not None

    def test_keeps_its_replicas_where_its_schema_has_them(self, kind: Kind) -> None:
        if kind.scale is not None:
            for path in (kind.scale.spec_replicas, kind.scale.status_replicas):
                node = table.get(kind.schema).at(*path.split("."))
                assert node is not None
                assert node.type == "integer"
