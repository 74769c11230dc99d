"""The table answers as a plain filter over all documents would, only faster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.base import selectors
from motet.base.selectors import EVERYTHING, NOTHING, FieldSelector, parse_fields
from motet.store.document import Document, Key, encode
from motet.store.table import Table, selectable


class SpecView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    phase: str = ""


class PodView(msgspec.Struct, gc=False, frozen=True):
    spec: SpecView = SpecView()


def pod_fields(document: Document) -> Mapping[str, str]:
    spec = document.view(PodView).spec
    return {"spec.nodeName": spec.node_name, "status.phase": spec.phase}


def pod(name: str, namespace: str = "default", revision: int = 1, **extra: Any) -> Document:
    metadata = {"name": name, "namespace": namespace}
    if "labels" in extra:
        metadata["labels"] = extra["labels"]
    if "owners" in extra:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid} for uid in extra["owners"]
        ]
    spec = {"nodeName": extra.get("node", ""), "phase": extra.get("phase", "")}
    value = encode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return Document.stored(f"core/pods/{namespace}/{name}", value, revision)


def table(*documents: Document) -> Table:
    made = Table("core/pods", fields=pod_fields, indexed_fields=("spec.nodeName",))
    for document in documents:
        made.apply(document.key, document, document.revision)
    return made


def names(documents: list[Document]) -> list[str]:
    return [f"{document.namespace}/{document.name}" for document in documents]


def test_a_document_is_found_by_name_and_namespace() -> None:
    pods = table(pod("a"), pod("a", "other"))
    assert pods.get("a", "other").namespace == "other"  # type: ignore[union-attr]
    assert pods.get("a", "nowhere") is None


def test_lists_are_in_the_order_of_the_keys_as_text() -> None:
    pods = table(pod("x", "a"), pod("x", "a-b"), pod("b", "a"), pod("a", "z"))
    assert names(pods.select()) == ["a-b/x", "a/b", "a/x", "z/a"]
    assert [document.name for document in pods] == ["x", "b", "x", "a"]


def test_selecting_nothing_gives_nothing() -> None:
    assert table(pod("a")).select(labels=NOTHING) == []


def test_owners_are_indexed_and_forgotten() -> None:
    pods = table(pod("a", owners=["r1"]), pod("b", owners=["r1", "r2"]))
    assert names(pods.owned_by("r1")) == ["default/a", "default/b"]
    pods.apply(Key("core/pods", "default", "b"), pod("b", owners=["r2"]), 2)
    pods.apply(Key("core/pods", "default", "a"), None, 3)
    assert pods.owned_by("r1") == []
    assert names(pods.owned_by("r2")) == ["default/b"]


def test_an_indexed_field_follows_its_document() -> None:
    pods = table(pod("a"), pod("b", node="n1"))
    pods.apply(Key("core/pods", "default", "a"), pod("a", node="n1"), 2)
    assert names(pods.by_field("spec.nodeName", "n1")) == ["default/a", "default/b"]
    assert pods.by_field("spec.nodeName", "") == []


def test_asking_for_a_field_that_is_not_indexed_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        table().by_field("status.phase", "Running")


def test_dropping_what_is_not_there_changes_nothing() -> None:
    pods = table(pod("a"))
    seen: list[object] = []
    pods.listen(lambda old, new: seen.append((old, new)))
    pods.apply(Key("core/pods", "default", "b"), None, 5)
    assert (len(pods), seen, pods.revision) == (1, [], 5)


def test_listeners_hear_old_and_new_until_they_stop() -> None:
    pods = table()
    seen: list[tuple[int | None, int | None]] = []
    stop = pods.listen(lambda old, new: seen.append((old and old.revision, new and new.revision)))
    key = Key("core/pods", "default", "a")
    pods.apply(key, pod("a", revision=1), 1)
    pods.apply(key, pod("a", revision=2), 2)
    pods.apply(key, None, 3)
    stop()
    pods.apply(key, pod("a", revision=4), 4)
    assert seen == [(None, 1), (1, 2), (2, None)]


def test_the_same_callback_may_listen_twice() -> None:
    pods, seen = table(), []
    callback = lambda old, new: seen.append(new)  # noqa: E731
    stop = pods.listen(callback)
    pods.listen(callback)
    stop()
    pods.apply(Key("core/pods", "default", "a"), pod("a"), 1)
    assert len(seen) == 1


def test_a_table_may_be_changed_while_it_is_walked() -> None:
    pods = table(pod("a"), pod("b"))
    for document in pods:
        pods.apply(document.key, None, 2)
    assert len(pods) == 0


LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["a", "b", "1", "2"]))
PODS = st.builds(
    lambda name, namespace, labels, node, phase: pod(name, namespace, labels=labels, node=node, phase=phase),
    st.sampled_from("abcd"),
    st.sampled_from(["n", "n-x", "m"]),
    LABELS,
    st.sampled_from(["", "n1", "n2"]),
    st.sampled_from(["", "Running"]),
)
OPERATIONS = st.lists(st.tuples(PODS, st.booleans()), max_size=30)
SELECTORS = st.sampled_from(
    ["", "app=a", "app!=a", "app in (a,b)", "app notin (a)", "app", "!app", "app>1", "app<2", "app=a,tier=b,tier!=a"]
)
FIELDS = st.sampled_from(
    [
        "", "metadata.name=a", "metadata.name!=a", "spec.nodeName=n1", "spec.nodeName!=n1", "spec.nodeName=",
        "status.phase=Running,spec.nodeName=n2", "metadata.namespace=n", "metadata.namespace=n,metadata.name=b",
        "metadata.name=a,metadata.name=b", "unknown=", "metadata.namespace=",
    ]
)  # fmt: skip


@given(OPERATIONS, st.sampled_from(["", "n", "m"]), SELECTORS, FIELDS)
def test_a_selection_equals_a_filter_over_everything(
    operations: list[tuple[Document, bool]], namespace: str, labels: str, fields: str
) -> None:
    pods = table()
    model: dict[str, Document] = {}
    for revision, (document, deleted) in enumerate(operations, 1):
        path = f"{document.namespace}/{document.name}"
        pods.apply(document.key, None if deleted else document, revision)
        if deleted:
            model.pop(path, None)
        else:
            model[path] = document
        if revision % 3 == 0:  # fold the order in now and then
            pods.select()
    wanted_labels, wanted_fields = selectors.parse(labels) if labels else EVERYTHING, parse_fields(fields)
    expected = [
        path
        for path, document in sorted(model.items())
        if (not namespace or document.namespace == namespace)
        and wanted_labels.matches(document.meta.labels)
        and wanted_fields.matches(selectable(document, pod_fields))
    ]
    assert names(pods.select(namespace, wanted_labels, wanted_fields)) == expected
    assert isinstance(wanted_fields, FieldSelector)
