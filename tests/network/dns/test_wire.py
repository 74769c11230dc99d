"""Messages: what is written can be read by somebody else, and nothing that arrives does harm."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.network.dns import messages
from tests.network.dns.messages import question

from motet.network.dns import wire

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63)
NAME = st.lists(LABEL, min_size=1, max_size=5).map(".".join).filter(lambda name: len(name) < 250)


@given(NAME, st.sampled_from(["A", "AAAA", "SRV", "PTR"]), st.integers(0, 65535))
def test_a_question_is_read_as_it_was_meant(name: str, kind: str, ident: int) -> None:
    query = wire.parse(question(name, kind, ident=ident))
    assert (query.id, query.name, query.type) == (ident, name.lower(), messages.TYPES[kind])


@given(NAME, st.lists(st.tuples(NAME, st.ip_addresses(v=4).map(str)), max_size=20), st.sampled_from([0, 4096]))
def test_an_answer_says_what_it_was_given(name: str, records: list[tuple[str, str]], room: int) -> None:
    query = wire.parse(question(name, room=room))
    given_records = [wire.Record(owner, *wire.address(address)) for owner, address in records]
    message = messages.read(wire.respond(query, wire.NOERROR, given_records))
    assert [(owner, data) for owner, _, data in message.answer] == records
    assert message.question == [(name, "A")]
    assert len(message.additional) == (1 if room else 0)


@given(st.binary(max_size=300))
def test_no_packet_raises_anything_but_malformed(packet: bytes) -> None:
    with contextlib.suppress(wire.Malformed):
        wire.parse(packet)
    assert len(wire.complaint(packet, wire.FORMERR)) in (0, 12)


@given(NAME, st.integers(0, 300), st.binary(max_size=6))
def test_a_damaged_question_raises_nothing_but_malformed(name: str, at: int, noise: bytes) -> None:
    packet = question(name, room=1232)
    with contextlib.suppress(wire.Malformed):
        wire.respond(wire.parse(packet[:at] + noise + packet[at + len(noise) :]), wire.NXDOMAIN)


@given(st.binary(max_size=300))
def test_a_hostile_upstream_raises_nothing_but_malformed(packet: bytes) -> None:
    with contextlib.suppress(wire.Malformed):
        wire.read_response(packet, 30)


def test_the_senders_spelling_is_kept_in_the_question() -> None:
    query = wire.parse(question("WeB.DefAult.svc.Cluster.local"))
    assert query.name == "web.default.svc.cluster.local"
    assert messages.read(wire.respond(query)).question[0][0] == "WeB.DefAult.svc.Cluster.local"


def test_an_answer_that_does_not_fit_is_cut_to_nothing_and_marked() -> None:
    query = wire.parse(question("a.b", room=600))
    records = [wire.Record("a.b", *wire.address(f"10.0.0.{n}")) for n in range(60)]
    message = messages.read(wire.cut(wire.respond(query, wire.NOERROR, records), query))
    assert message.truncated
    assert message.answer == []
    assert [type for _, type, _ in message.additional] == ["OPT"]


def test_a_query_without_edns_gets_512_bytes_and_one_with_it_no_more_than_1232() -> None:
    assert wire.parse(question("a.b")).room == 512
    assert wire.parse(question("a.b", room=65000)).room == 1232
    assert wire.parse(question("a.b", room=100)).room == 512


@pytest.mark.parametrize(
    ("change", "rcode"), [((2, 0x28), wire.NOTIMP), ((5, 2), wire.FORMERR), ((20, 3), wire.REFUSED)]
)
def test_what_is_not_a_question_of_the_internet_is_refused_by_its_right_name(
    change: tuple[int, int], rcode: int
) -> None:
    packet = bytearray(question("a.b"))
    packet[change[0]] = change[1]
    with pytest.raises(wire.Malformed) as caught:
        wire.parse(bytes(packet))
    assert caught.value.rcode == rcode


def test_an_answer_is_never_answered() -> None:
    packet = messages.answer(question("a.b"))
    with pytest.raises(wire.Malformed):
        wire.parse(packet)
    assert wire.complaint(packet, wire.FORMERR) == b""


def test_a_dot_within_a_label_cannot_pass_for_another_name() -> None:
    packet = question("web\x00default.svc.cluster.local").replace(b"web\x00default", b"web.default")
    assert wire.parse(packet).name != "web.default.svc.cluster.local"


@pytest.mark.parametrize("name", ["a..b", "a" * 64, "é.b", ".".join(["a" * 60] * 5)])
def test_what_is_no_name_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no name|encode"):
        wire.encode_name(name)
