"""Slices of Endpoints that somebody wrote by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers.builders import view
from tests.controllers.test_backends import stored

from motet.controllers import mirroring
from motet.controllers.backends import MANAGED_BY, SERVICE_NAME, ServiceView
from motet.controllers.mirroring import EndpointsView
from motet.controllers.slicing import Plan

Json = dict[str, Any]
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}


def service(**spec: Any) -> ServiceView:
    return view(ServiceView, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})


def endpoints(*subsets: Json, **metadata: Any) -> EndpointsView:
    meta = {"name": "web", "namespace": "default", "uid": "e1", **metadata}
    return view(EndpointsView, {"metadata": meta, "subsets": list(subsets)})


def subset(*ready: str, not_ready: tuple[str, ...] = (), ports: tuple[Json, ...] = (HTTP,)) -> Json:
    body: Json = {"addresses": [{"ip": ip} for ip in ready], "ports": list(ports)}
    return {**body, "notReadyAddresses": [{"ip": ip} for ip in not_ready]}


def made(of: EndpointsView, existing: list[Json] | None = None) -> list[Json]:
    return stored(mirroring.slices(of, service(), existing or []), existing or [])


def test_a_subset_is_a_slice_that_belongs_to_the_endpoints() -> None:
    labels = {"color": "blue", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    (found,) = made(endpoints(subset("10.0.0.1", not_ready=("10.0.0.2",)), labels=labels, annotations={"a": "b"}))
    assert found["metadata"]["labels"] == {"color": "blue", SERVICE_NAME: "web", MANAGED_BY: mirroring.MANAGER}
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
    assert [(each["addresses"], each["conditions"]["ready"]) for each in found["endpoints"]] == [
        (["10.0.0.1"], True),
        (["10.0.0.2"], False),
    ]
    assert found["ports"] == [HTTP]


def test_what_an_address_says_of_its_place_is_kept() -> None:
    address = {"ip": "10.0.0.1", "hostname": "db-0", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "db-0"}}
    (found,) = made(endpoints({"addresses": [address], "ports": [HTTP]}))
    assert found["endpoints"][0] | {"conditions": None, "addresses": None} == {
        "hostname": "db-0",
        "nodeName": "n1",
        "targetRef": {"kind": "Pod", "name": "db-0"},
        "conditions": None,
        "addresses": None,
    }


def test_families_and_ports_have_slices_of_their_own() -> None:
    other = {"name": "metrics", "port": 9000, "protocol": "TCP"}
    found = made(endpoints(subset("10.0.0.1", "fd00::1"), subset("10.0.0.2", ports=(other,))))
    assert sorted((each["addressType"], each["ports"][0]["port"]) for each in found) == [
        ("IPv4", 80),
        ("IPv4", 9000),
        ("IPv6", 80),
    ]


def test_endpoints_without_addresses_have_no_slice() -> None:
    existing = made(endpoints(subset("10.0.0.1")))
    assert made(endpoints(), existing) == []


@pytest.mark.parametrize(
    ("metadata", "spec", "wanted"),
    [
        ({}, {}, True),
        ({}, {"selector": {"app": "web"}}, False),
        ({"labels": {mirroring.SKIP: "true"}}, {}, False),
        ({"annotations": {mirroring.LEADER: "{}"}}, {}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, {}, False),
    ],
)
def test_not_everything_is_mirrored(metadata: Json, spec: Json, wanted: bool) -> None:
    assert mirroring.mirrored(endpoints(**metadata), service(**spec)) is wanted


ADDRESSES = st.lists(st.integers(1, 30).map(lambda number: f"10.0.0.{number}"), unique=True, max_size=8)
SUBSETS = st.lists(
    st.builds(lambda ready, other, port: subset(*ready, not_ready=tuple(other), ports=({**HTTP, "port": port},)), ADDRESSES, ADDRESSES, st.sampled_from([80, 81])),
    max_size=3,
)  # fmt: skip


@given(SUBSETS, SUBSETS, st.data())
def test_law_a_plan_that_stopped_half_way_is_finished_by_the_next(
    before: list[Json], after: list[Json], data: st.DataObject
) -> None:
    there = made(endpoints(*before))
    plan = mirroring.slices(endpoints(*after), service(), there)
    done = data.draw(st.integers(0, len(plan.create)))
    half = stored(Plan(create=plan.create[:done]), there)
    there = made(endpoints(*after), half)
    assert mirroring.slices(endpoints(*after), service(), there) == Plan()
    listed = [(each["ports"][0]["port"], endpoint["addresses"][0]) for each in there for endpoint in each["endpoints"]]
    wanted = {
        (one["ports"][0]["port"], address["ip"])
        for one in after
        for address in (*one["addresses"], *one["notReadyAddresses"])
    }
    assert sorted(listed) == sorted(wanted)
