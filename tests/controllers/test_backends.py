"""Which endpoints a Service has, as a function of its pods."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import view

from motet.controllers import backends, topology
from motet.controllers.backends import BackendView, Plan, ServiceView

_numbers = itertools.count(1)


def service(
    *, ports: list[dict[str, Any]] | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> ServiceView:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}] if ports is None else ports
    meta = {"name": "web", "namespace": "default", "uid": "svc", "labels": labels or {}}
    return view(ServiceView, {"metadata": meta, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}})


def pod(
    *, ip: str | None = None, ips: tuple[str, ...] = (), ports: list[dict[str, Any]] | None = None, **options: Any
) -> BackendView:
    body = builders.pod(**options)
    addresses = ips or (f"10.42.0.{next(_numbers)}" if ip is None else ip,)
    body["status"].update(podIP=addresses[0], podIPs=[{"ip": each} for each in addresses if each])
    body["spec"]["containers"] = [{"name": "c", "image": "i", "ports": ports or []}]
    return view(BackendView, body)


def fresh(service: ServiceView, *pods: BackendView) -> list[dict[str, Any]]:
    return list(backends.slices(service, pods, []).create)


def stored(plan: Plan, existing: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is there after the plan."""
    gone = {name for name, _ in plan.delete}
    updated = {each["metadata"]["name"]: each for each in plan.update}
    kept = [updated.get(each["metadata"]["name"], each) for each in existing if each["metadata"]["name"] not in gone]
    for each in plan.create:
        name = f"web-{next(_numbers)}"
        kept.append({**each, "metadata": {**each["metadata"], "name": name, "uid": name}})
    return kept


def conditions(service: ServiceView, pod: BackendView) -> tuple[bool, bool, bool]:
    found = fresh(service, pod)[0]["endpoints"][0]["conditions"]
    return found["ready"], found["serving"], found["terminating"]


def test_hints_say_whom_a_ready_endpoint_is_near_as_far_as_the_service_asks() -> None:
    def hints(preference: str | None, zone: str = "z1", **options: Any) -> Any:
        asked = service(trafficDistribution=preference)
        (made,) = backends.slices(asked, [pod(node="n1", **options)], [], lambda node: zone).create
        (endpoint,) = made["endpoints"]
        assert endpoint.get("zone", "") == zone
        return endpoint.get("hints")

    zoned, on_node = {"forZones": [{"name": "z1"}]}, {"forNodes": [{"name": "n1"}]}
    assert hints("PreferClose") == hints("PreferSameZone") == zoned
    assert hints("PreferSameNode") == on_node | zoned
    assert hints("PreferSameNode", zone="") == on_node
    assert hints("PreferSameZone", zone="") is hints(None) is hints("PreferClose", ready=None) is None


def test_a_ready_pod_is_ready_and_serving() -> None:
    assert conditions(service(), pod()) == (True, True, False)


def test_an_unready_pod_is_listed_as_not_ready() -> None:
    assert conditions(service(), pod(ready=None)) == (False, False, False)


def test_a_leaving_pod_still_serves_but_is_not_ready() -> None:
    assert conditions(service(), pod(deleting=True)) == (False, True, True)


def test_publishing_unready_addresses_makes_all_ready() -> None:
    assert conditions(service(publishNotReadyAddresses=True), pod(ready=None, deleting=True)) == (True, False, True)


def test_finished_pods_and_pods_without_address_have_no_endpoint() -> None:
    assert fresh(service(), pod(phase="Succeeded"), pod(ip=""))[0]["endpoints"] == []


def test_an_endpoint_says_which_pod_on_which_node() -> None:
    (endpoint,) = fresh(service(), pod(name="a", node="n7"))[0]["endpoints"]
    assert endpoint["nodeName"] == "n7"
    assert endpoint["targetRef"]["name"] == "a"
    assert endpoint["targetRef"]["kind"] == "Pod"


def test_a_slice_belongs_to_its_service() -> None:
    meta = fresh(service(labels={"team": "x"}), pod())[0]["metadata"]
    assert meta["labels"]["kubernetes.io/service-name"] == "web"
    assert meta["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    assert meta["labels"]["team"] == "x"
    assert meta["ownerReferences"][0]["uid"] == "svc"
    assert meta["generateName"] == "web-"


def test_a_headless_service_is_labelled_so() -> None:
    assert fresh(service(clusterIP="None"), pod())[0]["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_a_named_target_port_is_looked_up_in_each_pod() -> None:
    named = service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    old = pod(ports=[{"name": "web", "containerPort": 8080}])
    new = pod(ports=[{"name": "web", "containerPort": 9090}])
    found = fresh(named, old, new)
    assert sorted(each["ports"][0]["port"] for each in found) == [8080, 9090]


def test_a_pod_without_the_named_port_has_the_other_ports_only() -> None:
    two = service(ports=[{"name": "http", "port": 80}, {"name": "x", "port": 81, "targetPort": "missing"}])
    assert [each["name"] for each in fresh(two, pod())[0]["ports"]] == ["http"]


def test_two_families_have_slices_of_their_own() -> None:
    both = service(ipFamilies=["IPv4", "IPv6"])
    found = fresh(both, pod(ips=("10.42.0.9", "fd00::9")))
    assert {each["addressType"]: each["endpoints"][0]["addresses"] for each in found} == {
        "IPv4": ["10.42.0.9"],
        "IPv6": ["fd00::9"],
    }


def test_no_slice_holds_more_than_a_hundred() -> None:
    found = fresh(service(), *(pod() for _ in range(250)))
    assert sorted(len(each["endpoints"]) for each in found) == [50, 100, 100]


def test_a_change_of_one_pod_touches_one_slice() -> None:
    pods = [pod() for _ in range(250)]
    existing = stored(backends.slices(service(), pods, []), [])
    plan = backends.slices(service(), [*pods[1:], pod()], existing)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)


def test_a_service_without_pods_has_one_empty_slice() -> None:
    plan = backends.slices(service(), [], [])
    assert [each["endpoints"] for each in plan.create] == [[]]
    assert backends.slices(service(), [], stored(plan, [])) == Plan()


def test_a_pod_with_a_hostname_below_the_service_is_named() -> None:
    body = builders.pod()
    body["spec"].update(hostname="db-0", subdomain="web")
    body["status"].update(podIP="10.42.0.1")
    assert fresh(service(), view(BackendView, body))[0]["endpoints"][0]["hostname"] == "db-0"


def test_endpoints_list_ready_and_unready_addresses_apart() -> None:
    good, bad, leaving = pod(ip="10.0.0.1"), pod(ip="10.0.0.2", ready=None), pod(ip="10.0.0.3", deleting=True)
    found = backends.endpoints(service(), [good, bad, leaving], None)
    assert found is not None
    (subset,) = found["subsets"]
    assert [each["ip"] for each in subset["addresses"]] == ["10.0.0.1"]
    assert [each["ip"] for each in subset["notReadyAddresses"]] == ["10.0.0.2"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_endpoints_that_are_right_are_not_written_again() -> None:
    pods = [pod()]
    assert backends.endpoints(service(), pods, backends.endpoints(service(), pods, None)) is None


def test_endpoints_stop_at_a_thousand_and_say_so() -> None:
    found = backends.endpoints(service(), [pod() for _ in range(1001)], None)
    assert found is not None
    assert len(found["subsets"][0]["addresses"]) == 1000
    assert found["metadata"]["annotations"][backends.OVER_CAPACITY] == "truncated"


many = st.lists(
    st.builds(
        pod,
        ready=st.sampled_from([None, 10]),
        deleting=st.booleans(),
        ports=st.sampled_from([[], [{"name": "web", "containerPort": 1}], [{"name": "web", "containerPort": 2}]]),
    ),
    max_size=12,
)


@given(first=many, second=many, keep=st.integers(0, 12))
def test_law_every_pod_is_in_exactly_one_slice_and_a_second_look_changes_nothing(
    first: list[BackendView], second: list[BackendView], keep: int
) -> None:
    named = service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    existing = stored(backends.slices(named, first, []), [])
    now = [*first[:keep], *second]
    after = stored(backends.slices(named, now, existing), existing)
    listed = [endpoint["targetRef"]["uid"] for each in after for endpoint in each["endpoints"]]
    assert sorted(listed) == sorted(each.metadata.uid for each in now)
    assert backends.slices(named, now, after) == Plan()


def test_hints_by_processors_go_before_nearness() -> None:
    asked = service(trafficDistribution="PreferClose")
    auto = msgspec.structs.replace(
        asked, metadata=msgspec.structs.replace(asked.metadata, annotations={topology.MODE: "Auto"})
    )
    pods = [pod(node=f"n{number}", name=f"p{number}", ready=True) for number in range(4)]
    shares = {"near": Fraction(8), "far": Fraction(8)}
    zones = {"n0": "near", "n1": "near", "n2": "near", "n3": "far"}
    (made,) = backends.slices(auto, pods, [], zones.__getitem__, shares).create
    hints = sorted(each["hints"]["forZones"][0]["name"] for each in made["endpoints"])
    assert hints == ["far", "far", "near", "near"]
    (made,) = backends.slices(auto, pods, [], zones.__getitem__, {}).create
    assert all("hints" not in each for each in made["endpoints"])
