"""What the cluster's names mean (the Kubernetes DNS specification, edition 1.1.0)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.network.dns import wire
from motet.network.dns.wire import Record
from motet.network.dns.zone import Answer, Zone, external_record, service_records
from motet.network.proxy.views import ServiceView, SliceView

D = "cluster.local"


def service(cluster_ip: str = "10.43.0.7", **spec: Any) -> ServiceView:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return msgspec.convert({"spec": {"clusterIP": cluster_ip, "ports": ports, **spec}}, ServiceView)


def slice(*endpoints: dict[str, Any]) -> SliceView:
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return msgspec.convert({"endpoints": list(endpoints), "ports": ports}, SliceView)


def endpoint(address: str, hostname: str = "", ready: bool = True) -> dict[str, Any]:
    return {"addresses": [address], "hostname": hostname, "conditions": {"ready": ready}}


@pytest.fixture
def zone() -> Zone:
    made = Zone(D, (IPv4Network("10.42.0.0/16"), IPv4Network("10.43.0.0/16")))
    made.put("web", service_records("web", "default", service(), [], D))
    named = slice(endpoint("10.42.0.5", "db-0"), endpoint("10.42.0.6"), endpoint("10.42.0.7", ready=False))
    made.put("db", service_records("db", "data", service("None"), [named], D))
    made.put("out", [external_record("out", "default", "www.Example.com.", D)])
    made.put("in", [external_record("in", "default", f"web.default.svc.{D}", D)])
    made.put("loop", [external_record("loop", "default", f"loop.default.svc.{D}", D)])
    return made


def addresses(answer: Answer) -> list[str]:
    return sorted(".".join(map(str, record.data)) for record in answer.records if record.type == wire.A)


def named(data: bytes) -> str:
    labels, at = [], 0
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels)


def test_a_service_is_its_address(zone: Zone) -> None:
    assert addresses(zone.lookup(f"web.default.svc.{D}", wire.A)) == ["10.43.0.7"]


def test_a_name_without_the_asked_type_exists_and_has_no_data(zone: Zone) -> None:
    answer = zone.lookup(f"web.default.svc.{D}", wire.AAAA)
    assert (answer.rcode, answer.records, answer.authority[0].type) == (wire.NOERROR, [], wire.SOA)


def test_an_unknown_name_does_not_exist(zone: Zone) -> None:
    answer = zone.lookup(f"www.google.com.default.svc.{D}", wire.A)
    assert (answer.rcode, answer.authority[0].name) == (wire.NXDOMAIN, D)


@pytest.mark.parametrize("name", [f"default.svc.{D}", f"svc.{D}", D, f"_tcp.web.default.svc.{D}"])
def test_names_between_exist_but_have_no_data(zone: Zone, name: str) -> None:
    answer = zone.lookup(name, wire.A)
    assert (answer.rcode, list(answer.records)) == (wire.NOERROR, [])


def test_a_headless_service_is_its_ready_pods(zone: Zone) -> None:
    assert addresses(zone.lookup(f"db.data.svc.{D}", wire.A)) == ["10.42.0.5", "10.42.0.6"]


def test_unready_pods_are_published_when_asked_for() -> None:
    zone = Zone(D)
    parts = [slice(endpoint("10.42.0.7", ready=False))]
    zone.put("db", service_records("db", "data", service("None"), parts, D, unready=True))
    assert addresses(zone.lookup(f"db.data.svc.{D}", wire.A)) == ["10.42.0.7"]


def test_a_pod_with_a_hostname_has_a_name_below_its_service(zone: Zone) -> None:
    assert addresses(zone.lookup(f"db-0.db.data.svc.{D}", wire.A)) == ["10.42.0.5"]
    assert addresses(zone.lookup(f"10-42-0-6.db.data.svc.{D}", wire.A)) == ["10.42.0.6"]


def test_named_ports_are_found_by_srv(zone: Zone) -> None:
    answer = zone.lookup(f"_http._tcp.web.default.svc.{D}", wire.SRV)
    assert [(int.from_bytes(r.data[4:6], "big"), named(r.data[6:])) for r in answer.records] == [
        (80, f"web.default.svc.{D}")
    ]
    assert [record.data for record in answer.additional] == [bytes((10, 43, 0, 7))]


def test_named_ports_of_a_headless_service_name_its_pods(zone: Zone) -> None:
    answer = zone.lookup(f"_http._tcp.db.data.svc.{D}", wire.SRV)
    assert {(int.from_bytes(r.data[4:6], "big"), named(r.data[6:])) for r in answer.records} == {
        (8080, f"db-0.db.data.svc.{D}"),
        (8080, f"10-42-0-6.db.data.svc.{D}"),
    }


@pytest.mark.parametrize(
    ("address", "name"), [("10.43.0.7", f"web.default.svc.{D}"), ("10.42.0.5", f"db-0.db.data.svc.{D}")]
)
def test_addresses_have_names(zone: Zone, address: str, name: str) -> None:
    answer = zone.lookup(".".join(reversed(address.split("."))) + ".in-addr.arpa", wire.PTR)
    assert [named(record.data) for record in answer.records] == [name]


def test_unknown_addresses_of_the_cluster_are_denied_here_and_others_asked_outside(zone: Zone) -> None:
    answer = zone.lookup("9.9.43.10.in-addr.arpa", wire.PTR)
    assert (answer.rcode, answer.authority[0].name) == (wire.NXDOMAIN, "43.10.in-addr.arpa")
    assert zone.lookup("8.8.8.8.in-addr.arpa", wire.PTR).outside
    assert zone.lookup("example.com", wire.A).outside


def test_an_external_name_leads_outside(zone: Zone) -> None:
    answer = zone.lookup(f"out.default.svc.{D}", wire.A)
    assert (answer.follow, [record.type for record in answer.records]) == ("www.example.com", [wire.CNAME])


def test_an_external_name_within_the_cluster_is_followed(zone: Zone) -> None:
    answer = zone.lookup(f"in.default.svc.{D}", wire.A)
    assert [record.type for record in answer.records] == [wire.CNAME, wire.A]
    assert not answer.follow


def test_a_circle_of_external_names_ends(zone: Zone) -> None:
    assert zone.lookup(f"loop.default.svc.{D}", wire.A).rcode == wire.SERVFAIL


def test_a_pods_name_says_its_address(zone: Zone) -> None:
    assert addresses(zone.lookup(f"10-42-0-9.default.pod.{D}", wire.A)) == ["10.42.0.9"]
    assert zone.lookup(f"10-42-0.default.pod.{D}", wire.A).rcode == wire.NXDOMAIN
    assert zone.lookup(f"10-42-0-9.a.b.pod.{D}", wire.A).rcode == wire.NXDOMAIN


def test_names_go_with_the_last_service_of_a_namespace(zone: Zone) -> None:
    assert zone.lookup(f"data.svc.{D}", wire.A).rcode == wire.NOERROR
    zone.put("db", ())
    for name in (f"db-0.db.data.svc.{D}", f"db.data.svc.{D}", f"data.svc.{D}", "5.0.42.10.in-addr.arpa"):
        assert zone.lookup(name, wire.A).rcode == wire.NXDOMAIN


def test_putting_the_same_again_is_no_change(zone: Zone) -> None:
    assert not zone.put("web", service_records("web", "default", service(), [], D))


RECORDS = st.lists(
    st.builds(Record, st.sampled_from([f"a.x.{D}", f"b.x.{D}", f"c.a.x.{D}"]), st.just(wire.A), st.binary(max_size=1)),
    max_size=4,
)


@given(st.lists(st.tuples(st.sampled_from("pq"), RECORDS), max_size=8))
def test_a_zone_changed_step_by_step_is_as_one_made_at_once(steps: list[tuple[str, list[Record]]]) -> None:
    stepwise = Zone(D)
    for owner, records in steps:
        stepwise.put(owner, records)
    at_once = Zone(D)
    for owner, records in dict(steps).items():
        at_once.put(owner, records)
    for name in (f"a.x.{D}", f"b.x.{D}", f"c.a.x.{D}", f"x.{D}", f"a.a.x.{D}"):
        one, other = stepwise.lookup(name, wire.A), at_once.lookup(name, wire.A)
        assert (one.rcode, sorted(one.records)) == (other.rcode, sorted(other.records))


SIX = "fd00:43::7"


def test_a_service_of_both_families_is_both_its_addresses() -> None:
    made = Zone(D, (IPv4Network("10.43.0.0/16"), IPv6Network("fd00:43::/112")))
    both = service(clusterIPs=["10.43.0.7", SIX], ipFamilies=["IPv4", "IPv6"])
    made.put("web", service_records("web", "default", both, [], D))
    name = f"web.default.svc.{D}"
    assert [record.data for record in made.lookup(name, wire.AAAA).records] == [ip_address(SIX).packed]
    assert addresses(made.lookup(name, wire.A)) == ["10.43.0.7"]
    back = made.lookup(ip_address(SIX).reverse_pointer, wire.PTR)
    assert [record.data for record in back.records] == [wire.encode_name(name)]
    # Another address of the cluster's is nobody's, and that is said here; one of others is asked for outside.
    nobody = made.lookup(ip_address("fd00:43::8").reverse_pointer, wire.PTR)
    assert (nobody.rcode, nobody.outside) == (wire.NXDOMAIN, False)
    assert nobody.authority[0].name == IPv6Network("fd00:43::/112").network_address.reverse_pointer[2 * 4 :]
    assert made.lookup(ip_address("2001:db8::8").reverse_pointer, wire.PTR).outside


def test_a_pods_name_says_its_address_of_ipv6_too(zone: Zone) -> None:
    found = zone.lookup(f"fd00-42--5.default.pod.{D}", wire.AAAA).records
    assert [record.data for record in found] == [ip_address("fd00:42::5").packed]
