"""What the kernel tells in text: sticky clients, flows, listening sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.network.lab import SIX, config

from motet.network.proxy import conntrack, sticky
from motet.network.proxy.conntrack import Change, Flow
from motet.network.proxy.desired import Address, Backends, Frontend
from motet.network.proxy.listeners import listening

LISTING = (
    "table ip motet {\n\tmap sticky {\n\t\ttype mark . ipv4_addr : ipv4_addr . inet_service\n\t\tflags timeout\n"
    "\t\telements = { 0x1f500003 . 10.42.0.9 timeout 3h expires 2h59m54s968ms : 10.42.0.7 . 8080,\n"
    "\t\t\t     0x1f500004 . 10.42.0.9 timeout 1m expires 12s : 10.42.0.8 . 8080 }\n\t}\n}\n"
)


LISTINGS_OF_IPV6 = (
    "\t\telements = { 0x1f500003 . 77 timeout 3h expires 2h59m54s968ms : fd00:42::7,\n"
    "\t\t\t     0x1f500004 . 77 timeout 1m expires 12s : fd00:42::8 }\n",
    "\t\telements = { 0x1f500003 . 77 timeout 3h expires 2h59m54s968ms : 8080,\n"
    "\t\t\t     0x1f500004 . 77 timeout 1m expires 12s : 8081 }\n",
)


def test_only_clients_of_what_is_gone_are_let_go(tmp_path: Path) -> None:
    ours, kept = config(tmp_path), sticky.parse(LISTING)
    gone = {(0x1F500003, "10.42.0.7", 8080), (0x1F500004, "10.42.0.7", 8080)}
    assert sticky.forget(ours, kept, gone) == f"delete element ip motet sticky {{ {0x1F500003} . 10.42.0.9 }}"
    assert sticky.forget(ours, kept, {(9, "10.42.0.7", 8080)}) == ""


def test_clients_of_ipv6_are_let_go_by_both_their_maps(tmp_path: Path) -> None:
    ours, kept = config(tmp_path, six=SIX).ipv6, sticky.parse(*LISTINGS_OF_IPV6)
    assert ours is not None
    assert kept == [
        (0x1F500003, "77", "fd00:42::7", 8080, pytest.approx(10794.968)),
        (0x1F500004, "77", "fd00:42::8", 8081, 12),
    ]
    assert sticky.forget(ours, kept, {(0x1F500004, "fd00:42::8", 8081)}).splitlines() == [
        f"delete element ip6 motet {name} {{ {0x1F500004} . 77 }}" for name in ("sticky", "sticky_port")
    ]


@pytest.mark.parametrize(("span", "seconds"), [("2h59m54s968ms", 10794.968), ("1d1s", 86401), ("60s", 60)])
def test_spans_are_read_as_nft_prints_them(span: str, seconds: float) -> None:
    assert sticky.seconds(span) == pytest.approx(seconds)


FLOW = Flow(("192.0.2.9", 4000), ("10.43.0.5", 53), ("10.42.0.2", 53))


def leads(address: str, *endpoints: str) -> Change:
    return Change(Frontend(address, "udp", 53), 7, frozenset((each, 53) for each in endpoints))


def test_a_flow_is_stale_when_it_leads_to_none_of_its_endpoints() -> None:
    assert conntrack.stale(FLOW, leads("10.43.0.5", "10.42.0.3"), set())
    assert not conntrack.stale(FLOW, leads("10.43.0.5", "10.42.0.2"), set())
    assert not conntrack.stale(FLOW, leads("10.43.0.6"), set())


def test_a_published_port_concerns_flows_to_this_nodes_addresses_only() -> None:
    assert conntrack.stale(FLOW, leads(""), {"10.43.0.5"})
    assert not conntrack.stale(FLOW, leads(""), {"192.0.2.1"})


def test_a_late_answer_of_a_process_that_had_the_port_is_stale_and_an_endpoints_is_not() -> None:
    answer = Flow(("192.0.2.1", 53), ("192.0.2.9", 4000), ("192.0.2.9", 4000))
    assert conntrack.stale(answer, leads("", "10.42.0.2"), {"192.0.2.1"})
    assert not conntrack.stale(answer, leads("", "192.0.2.1"), {"192.0.2.1"})
    assert not conntrack.stale(answer, leads("", "10.42.0.2"), {"192.0.2.2"})
    assert not conntrack.stale(answer, leads("10.43.0.5", "10.42.0.2"), {"192.0.2.1"})


ONE, OTHER = ("10.42.0.2", 53), ("10.42.0.3", 53)


@pytest.mark.parametrize(
    ("protocol", "was", "now", "astray"),
    [
        ("udp", (ONE,), (OTHER,), True),
        ("udp", (ONE,), (ONE, OTHER), False),
        ("udp", (), (ONE,), True),
        ("udp", (), (), False),
        ("tcp", (ONE, OTHER), (ONE,), True),
        ("tcp", (), (ONE,), False),
        ("sctp", (ONE,), (OTHER,), False),
    ],
)
def test_flows_may_go_astray_when_an_endpoint_goes(
    protocol: str, was: tuple[Address, ...], now: tuple[Address, ...], astray: bool
) -> None:
    frontend = Frontend("10.43.0.5", protocol, 53)
    found = conntrack.changes({frontend: Backends(now)}, {frontend: Backends(was)}, {frontend: 7})
    assert found == ([Change(frontend, 7, frozenset(now))] if astray else [])


def test_listening_sockets_are_found_and_connected_ones_are_not(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st\n"
    (tmp_path / "tcp").write_text(
        head + "   0: 0100007F:0050 00000000:0000 0A 0\n   1: 0100007F:9999 0100007F:0050 01 0\n"
    )
    (tmp_path / "tcp6").write_text(head + f"   0: {'0' * 32}:0051 {'0' * 32}:0000 0A 0\n")
    (tmp_path / "udp").write_text(head + "   0: 00000000:0035 00000000:0000 07 0\n   1: 0:1234 0:0035 01 0\n")
    assert listening(tmp_path) == {("tcp", 80), ("tcp", 81), ("udp", 53)}
