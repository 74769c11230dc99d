from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import configmap, secret

Json = dict[str, Any]
Create = Callable[..., Json]
Complaints = Callable[..., list[str]]


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_a_config_map_with_text_and_bytes_is_fine(complaints: Complaints) -> None:
    assert complaints(configmap.KIND, {"data": {"a.conf": "x", "_b": ""}, "binaryData": {"c": "AAA="}}) == []


@pytest.mark.parametrize(
    ("document", "start"),
    [
        ({"data": {"a b": "c"}}, 'data[a b]: Invalid value: "a b": a valid config key must consist of'),
        ({"data": {"..": "c"}}, "data[..]: Invalid value: \"..\": must not be '..'"),
        ({"data": {"..a": "c"}}, "data[..a]: Invalid value: \"..a\": must not start with '..'"),
        ({"data": {"k" * 254: "c"}}, f"data[{'k' * 254}]: Invalid value"),
        ({"data": {"a": "b"}, "binaryData": {"a": "AAA="}}, 'data[a]: Invalid value: "a": duplicate of key present in'),
        ({"data": {"a": "x" * (2**20 + 1)}}, "[]: Too long: may not be more than 1048576 bytes"),
    ],
)
def test_a_config_map_may_not_have(document: Json, start: str, complaints: Complaints) -> None:
    found = complaints(configmap.KIND, document)
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_an_immutable_config_map_stays(update_complaints: Complaints) -> None:
    old = {"data": {"a": "b"}, "immutable": True}
    assert update_complaints(configmap.KIND, old, {"data": {"a": "c"}}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert update_complaints(configmap.KIND, old, {"immutable": False}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    assert update_complaints(configmap.KIND, old, {"metadata": {"labels": {"a": "b"}}}) == []


def test_plain_text_of_a_secret_becomes_data(created: Create) -> None:
    document = created(secret.KIND, {"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "z", "c": "ü"}})
    assert document["data"] == {"a": "eA==", "b": encoded("z"), "c": encoded("ü")}
    assert "stringData" not in document
    assert document["type"] == "Opaque"


@pytest.mark.parametrize(
    ("document", "start"),
    [
        ({"type": "kubernetes.io/tls", "stringData": {"tls.crt": ""}}, "data[tls.key]: Required value"),
        ({"type": "kubernetes.io/ssh-auth"}, "data[ssh-privatekey]: Required value"),
        (
            {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{"}},
            'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": the value is not valid JSON',
        ),
        (
            {"type": "kubernetes.io/service-account-token"},
            "metadata.annotations[kubernetes.io/service-account.name]: Required value",
        ),
        ({"stringData": {"a": "x" * (2**20 + 1)}}, "data: Too long: may not be more than 1048576 bytes"),
    ],
)
def test_a_secret_may_not_have(document: Json, start: str, complaints: Complaints) -> None:
    found = complaints(secret.KIND, document)
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_the_type_of_a_secret_does_not_change(update_complaints: Complaints) -> None:
    assert update_complaints(secret.KIND, {}, {"type": "mine"}) == ['type: Invalid value: "mine": field is immutable']


def test_a_full_secret_is_measured_decoded(complaints: Complaints) -> None:
    assert complaints(secret.KIND, {"stringData": {"a": "x" * 2**20}}) == []
