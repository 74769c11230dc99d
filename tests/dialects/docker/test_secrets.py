"""Secrets and configs never change, but for their labels."""

from __future__ import annotations

import base64

import pytest

from motet.dialects.docker import objects, secrets
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.secrets import CONFIG, SECRET, Sort
from motet.store.document import Document, Key, encode, stamp


def body(content: bytes, **more: object) -> Fields:
    return Fields({"Name": "a_b", "Data": base64.b64encode(content).decode(), **more})


def stored(sort: Sort, content: bytes) -> Document:
    document = secrets.new_document(sort, body(content), "default")
    return Document(Key(sort.kind.resource, "default", "a-b"), stamp(encode(document), 7), 7)


@pytest.mark.parametrize("sort", [SECRET, CONFIG])
@pytest.mark.parametrize("content", [b"text\n", b"\xff\x00"])
def test_the_same_content_may_be_sent_again_with_other_labels(sort: Sort, content: bytes) -> None:
    changed = secrets.relabelled(sort, stored(sort, content), body(content, Labels={"x": "y"}))
    assert objects.LABELS in changed["metadata"]["annotations"]


@pytest.mark.parametrize("sort", [SECRET, CONFIG])
def test_other_content_is_refused(sort: Sort) -> None:
    with pytest.raises(DockerError, match="only updates to Labels are allowed"):
        secrets.relabelled(sort, stored(sort, b"one"), body(b"two"))


def test_what_a_secret_is_filled_in_with_stays() -> None:
    golang = body(b"one", Templating={"Name": "golang"})
    with pytest.raises(DockerError, match="only updates to Labels are allowed"):
        secrets.relabelled(SECRET, stored(SECRET, b"one"), golang)


def test_a_secret_is_kept_by_nobody_else() -> None:
    for driver in ({"Name": "vault"}, {"Options": {"a": "b"}}):
        with pytest.raises(DockerError, match="Driver is not supported by Motet"):
            secrets.new_document(SECRET, body(b"one", Driver=driver), "default")


def test_a_template_is_marked_as_one_and_shown_as_one() -> None:
    document = secrets.new_document(CONFIG, body(b"{{.Task.Slot}}", Templating={"Name": "golang"}), "default")
    document["metadata"]["uid"] = "7f0c1d5e-0000-4000-8000-000000000001"
    stored = Document(Key("core/configmaps", "default", "a-b"), stamp(encode(document), 3), 3)
    assert objects.is_template(stored.meta)
    assert secrets.translate(CONFIG, stored)["Spec"]["Templating"] == {"Name": "golang"}


def test_a_template_with_more_than_placeholders_is_refused() -> None:
    with pytest.raises(DockerError, match=r"\{\{if \.x\}\} is not known"):
        secrets.new_document(SECRET, body(b"{{if .x}}", Templating={"Name": "golang"}), "default")
