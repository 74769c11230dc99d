import pytest

from motet.api.http import negotiate
from motet.api.http.negotiate import Form
from motet.base.errors import BadRequest, NotAcceptable, UnsupportedMediaType


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        ("application/vnd.kubernetes.protobuf, */*", Form()),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Form("table", "v1")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form("table", "v1beta1")),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            Form("metadata", "v1"),
        ),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", Form()),
        ("application/json;q=0.1, application/yaml;q=0.9", Form(media="application/yaml")),
    ],
)
def test_the_best_form_both_sides_know_is_taken(accept: str, expected: Form) -> None:
    assert negotiate.form(accept) == expected


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.kubernetes.protobuf", "application/json;q=0"])
def test_a_form_we_do_not_have_is_refused(accept: str) -> None:
    if accept.endswith("q=0"):
        assert negotiate.form(accept) == Form()
    else:
        with pytest.raises(NotAcceptable):
            negotiate.form(accept)


def test_a_body_may_be_yaml() -> None:
    assert negotiate.document(b"kind: Pod\nmetadata: {name: a}\n", "application/yaml") == {
        "kind": "Pod",
        "metadata": {"name": "a"},
    }


def test_dates_and_odd_keys_of_yaml_become_text() -> None:
    assert negotiate.document(b"a: 2026-01-02T03:04:05Z\n1: x\n", "application/yaml") == {
        "a": "2026-01-02T03:04:05Z",
        "1": "x",
    }


@pytest.mark.parametrize("body", [b"{", b"", b"[1]", b'"x"', b"\xff"])
def test_a_broken_body_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        negotiate.document(body, "application/json; charset=utf-8")


def test_a_broken_yaml_body_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="line 2"):
        negotiate.document(b"a: [", "application/yaml")


def test_an_unknown_media_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        negotiate.document(b"x", "application/cbor")
