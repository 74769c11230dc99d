"""Documents and their views."""

from __future__ import annotations

import msgspec

from motet.store.document import Document, Meta, encode


class _Whole(msgspec.Struct, frozen=True):
    metadata: Meta
    kind: str = ""


class _Own(msgspec.Struct, frozen=True):
    class Part(msgspec.Struct, frozen=True):
        name: str = ""

    metadata: Part = Part()


def _document() -> Document:
    body = {"kind": "Pod", "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}}}
    return Document.stored("core/pods/default/web", encode(body), 7)


def test_a_view_that_holds_all_metadata_shares_it_with_the_document() -> None:
    document = _document()
    view = document.view(_Whole)
    assert view.metadata is document.meta
    assert (view.kind, view.metadata.name, view.metadata.resource_version) == ("Pod", "web", "7")


def test_a_view_may_name_metadata_of_its_own() -> None:
    assert _document().view(_Own).metadata == _Own.Part(name="web")


def test_equal_labels_of_two_documents_are_one_object() -> None:
    assert _document().meta.labels is _document().meta.labels
