import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.base.errors import BadRequest
from motet.kinds.schema import protobuf, table

CORE = "io.k8s.api.core.v1."


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def member(number, value):
    """A member on the wire: int and bool as varint, float as fixed64, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version, kind, raw, **more):
    return (
        protobuf.MAGIC
        + member(1, member(1, api_version) + member(2, kind))
        + member(2, raw)
        + b"".join(member(int(number[1:]), value) for number, value in more.items())
    )


def read(name, *members):
    return protobuf.message(table.get(CORE + name), b"".join(members))


def test_the_envelope_names_the_kind():
    body = envelope("v1", "ConfigMap", member(1, member(1, "settings")))
    assert protobuf.decode(body) == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}


def test_delete_options_of_any_group_are_read():
    body = envelope("policy/v1", "DeleteOptions", member(1, 0) + member(4, "Background"))
    assert protobuf.decode(body) == {
        "apiVersion": "policy/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


def test_maps_of_bytes_are_base64():
    entry = member(1, "key") + member(2, b"\x00\xff")
    assert read("Secret", member(2, entry)) == {"data": {"key": "AP8="}}


def test_a_map_entry_without_value_is_empty_text():
    assert read("ConfigMap", member(2, member(1, "key"))) == {"data": {"key": ""}}


def test_members_of_embedded_messages_appear_in_the_parent():
    secret = member(1, "token")
    assert read("Volume", member(1, "v"), member(2, member(6, secret))) == {
        "name": "v",
        "secret": {"secretName": "token"},
    }


def test_an_empty_volume_source_that_was_chosen_stays():
    assert read("Volume", member(1, "v"), member(2, member(2, b""))) == {"name": "v", "emptyDir": {}}


def test_int_or_string_is_either():
    def action(port):
        return read("TCPSocketAction", member(1, port))["port"]

    assert action(member(1, 0) + member(2, 8080) + member(3, "")) == 8080
    assert action(member(1, 1) + member(2, 0) + member(3, "http")) == "http"


def test_quantities_are_text():
    entry = member(1, "cpu") + member(2, member(1, "500m"))
    assert read("ResourceRequirements", member(1, entry)) == {"limits": {"cpu": "500m"}}


def test_negative_numbers_keep_their_sign():
    assert read("PodSpec", member(25, -5))["priority"] == -5


def test_the_zero_of_a_pointer_is_meant_and_stays():
    assert read("PodSpec", member(25, 0))["priority"] == 0


def test_the_zero_of_an_optional_value_is_left_out():
    assert "hostNetwork" not in read("PodSpec", member(11, False), member(3, ""))


def test_a_required_list_is_there_even_when_empty():
    assert read("PodSpec") == {"containers": []}


def test_an_untouched_status_is_left_out():
    raw = member(3, member(1, "") + member(2, b""))
    schema = table.get("io.k8s.api.authentication.v1.TokenRequest")
    assert protobuf.message(schema, raw) == {}


def test_times_are_rfc_3339_and_the_zero_time_is_absent():
    when = member(1, 1767225600) + member(2, 123456000)
    metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert protobuf.message(table.get(metadata), member(8, when)) == {"creationTimestamp": "2026-01-01T00:00:00Z"}
    assert protobuf.message(table.get(metadata), member(8, b"")) == {}
    lease = table.get("io.k8s.api.coordination.v1.LeaseSpec")
    assert protobuf.message(lease, member(4, when)) == {"renewTime": "2026-01-01T00:00:00.123456Z"}


def test_raw_extensions_are_the_json_they_hold():
    schema = table.get("io.k8s.api.apps.v1.ControllerRevision")
    assert protobuf.message(schema, member(2, member(1, b'{"a":[1]}')) + member(3, 7)) == {
        "data": {"a": [1]},
        "revision": 7,
    }


def test_lists_inside_maps_are_unwrapped():
    extra = member(1, "scopes") + member(2, member(1, "a") + member(1, "b"))
    schema = table.get("io.k8s.api.authorization.v1.SubjectAccessReviewSpec")
    assert protobuf.message(schema, member(5, extra)) == {"extra": {"scopes": ["a", "b"]}}


def test_json_schemas_or_something_simpler_are_read_as_either():
    props = table.get("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    text = member(5, "string")
    assert protobuf.message(props, member(30, member(1, True))) == {"additionalProperties": True}
    assert protobuf.message(props, member(30, member(1, True) + member(2, text))) == {
        "additionalProperties": {"type": "string"}
    }
    assert protobuf.message(props, member(24, member(1, text))) == {"items": {"type": "string"}}
    assert protobuf.message(props, member(24, member(2, text) + member(2, text))) == {"items": [{"type": "string"}] * 2}
    assert protobuf.message(props, member(9, 2.5)) == {"maximum": 2.5}
    assert protobuf.message(props, member(8, member(1, b"false"))) == {"default": False}


def test_packed_numbers_are_read():
    assert read("PodSecurityContext", member(4, varint(1) + varint(300))) == {"supplementalGroups": [1, 300]}


def test_fields_newer_than_the_table_are_skipped():
    assert read("ConfigMap", member(999, "later")) == {}


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(BadRequest, match=r'no kind "Song" is registered for version "example\.dev/v1"'):
        protobuf.decode(envelope("example.dev/v1", "Song", b""))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        protobuf.MAGIC + b"\xff",
        protobuf.MAGIC + b"\x12\x05a",
        envelope("v1", "ConfigMap", b"\x0a\x7f"),
        envelope("v1", "Pod", b"", n3="gzip"),
    ],
)
def test_broken_bytes_are_a_bad_request(body):
    with pytest.raises(BadRequest):
        protobuf.decode(body)


@given(st.binary(max_size=60), st.sampled_from(["Pod", "Secret", "Event", "Service"]))
def test_no_bytes_end_in_anything_but_a_document_or_a_refusal(raw, kind):
    with contextlib.suppress(BadRequest):
        assert protobuf.decode(envelope("v1", kind, raw))["kind"] == kind
