"""What field selectors can ask, read straight from stored bytes."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds import event, pod
from motet.kinds.catalogue import KINDS
from motet.kinds.kind import Kind
from motet.store.document import Document, encode


def stored(kind: Kind, **fields: Any) -> Document:
    document = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}, **fields}
    return Document.stored(f"{kind.resource}//x", encode(document), 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.projection is None], ids=lambda kind: kind.kind)
def test_every_field_named_is_given_even_by_an_empty_document(kind: Kind) -> None:
    assert tuple(sorted(kind.fields(stored(kind)))) == tuple(sorted(kind.field_names))
    assert set(kind.indexed_fields) <= set(kind.field_names)


def test_fields_of_a_pod() -> None:
    document = stored(
        pod.KIND,
        spec={"nodeName": "n1", "hostNetwork": True, "serviceAccountName": "robot", "containers": []},
        status={"phase": "Running", "podIP": "10.42.0.2", "conditions": []},
    )
    fields = pod.KIND.fields(document)
    assert fields["spec.nodeName"] == "n1"
    assert fields["spec.hostNetwork"] == "true"
    assert fields["status.podIP"] == "10.42.0.2"
    assert fields["status.nominatedNodeName"] == ""


def test_fields_of_an_event() -> None:
    document = stored(
        event.KIND, involvedObject={"kind": "Pod", "uid": "u"}, reportingComponent="agent", reason="Pulled"
    )
    fields = event.KIND.fields(document)
    assert (fields["involvedObject.uid"], fields["source"], fields["reason"]) == ("u", "agent", "Pulled")


def test_a_null_counts_as_absent() -> None:
    assert pod.KIND.fields(stored(pod.KIND, spec={"nodeName": None}))["spec.nodeName"] == ""
