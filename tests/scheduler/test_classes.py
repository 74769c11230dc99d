"""What a pod asks for, and which pods are the same."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scheduler.builders import classified, container, document, pod

from motet.scheduler.classes import Classes, offered


def requests(**spec: Any) -> dict[str, int]:
    return dict(classified(pod(**spec)).requests)


def test_requests_are_added_up_and_rounded_up_to_whole_units() -> None:
    asked = requests(containers=[container(cpu="0.5", memory="1.5"), container(cpu="1.0001", memory="1Ki")])
    assert asked == {"cpu": 1501, "memory": 1026, "pods": 1}


def test_the_largest_init_container_counts_when_it_is_more() -> None:
    asked = requests(containers=[container(cpu="1")], initContainers=[container(cpu="3"), container(cpu="2")])
    assert asked["cpu"] == 3000


def test_sidecars_run_beside_later_init_containers_and_beside_the_pod() -> None:
    sidecar = container(cpu="1", restart="Always")
    assert requests(containers=[container(cpu="1")], initContainers=[sidecar])["cpu"] == 2000
    after = [sidecar, container(cpu="5")]
    assert requests(containers=[container(cpu="1")], initContainers=after)["cpu"] == 6000
    before = [container(cpu="5"), sidecar]
    assert requests(containers=[container(cpu="1")], initContainers=before)["cpu"] == 5000


def test_overhead_comes_on_top() -> None:
    assert requests(containers=[container(cpu="1")], overhead={"cpu": "250m"})["cpu"] == 1250


def test_what_the_pod_asks_for_as_a_whole_replaces_the_sum() -> None:
    asked = requests(containers=[container(cpu="1", memory="1Ki")], resources={"requests": {"cpu": "3"}})
    assert asked == {"cpu": 3000, "memory": 1024, "pods": 1}


def test_amounts_beyond_all_machines_are_cut_instead_of_overflowing() -> None:
    assert requests(containers=[container(memory="16Ei")])["memory"] == 2**55


def test_what_nodes_offer_is_rounded_down_and_nonsense_is_nothing() -> None:
    assert offered({"cpu": "1.9999", "memory": "1.5", "pods": 110, "odd": "many", "debt": "-1"}) == {
        "cpu": 1999,
        "memory": 1,
        "pods": 110,
        "debt": 0,
    }


def test_host_ports_of_containers_and_sidecars_are_held() -> None:
    found = classified(
        pod(
            containers=[container(host_port=80)],
            initContainers=[container(host_port=81, restart="Always"), container(host_port=82)],
        )
    )
    assert found.host_ports == {("TCP", "", 80), ("TCP", "", 81)}


def test_pods_of_one_template_share_a_class() -> None:
    classes = Classes()
    first, second = (classes.of(document("core/pods", pod(owner="rs", requests={"cpu": "1"}))) for _ in range(2))
    assert first is second


@pytest.mark.parametrize(
    "change",
    [
        {"requests": {"cpu": "2"}},
        {"nodeSelector": {"a": "b"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"priority": 5},
        {"containers": [container(cpu="1", host_port=80)]},
        {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        {"affinity": {"nodeAffinity": {}}},
        {"resources": {"requests": {"cpu": "2"}}},
        {"overhead": {"cpu": "1"}},
    ],
)
def test_whatever_matters_makes_another_class(change: dict[str, Any]) -> None:
    classes = Classes()
    plain = {"owner": "rs", "requests": {"cpu": "1"}}
    first = classes.of(document("core/pods", pod(**plain)))
    assert classes.of(document("core/pods", pod(**(plain | change)))) is not first


def test_pods_with_claims_of_their_own_are_no_class_together() -> None:
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]
    found = Classes()
    first, second = (
        found.of(document("core/pods", pod(name, owner="rs", volumes=volumes))) for name in ("web-1", "web-2")
    )
    assert (first.claims, second.claims) == (("web-1-v",), ("web-2-v",))


_TERM = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims"),
    ],
)
def test_what_is_not_honoured_yet_is_named(spec: dict[str, Any], named: str) -> None:
    assert classified(pod(**spec)).unsupported == (named,)


@pytest.mark.parametrize(
    "spec",
    [
        {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}},
        {
            "affinity": {
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": _TERM}]
                }
            }
        },
        {"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1}]},
        {"resourceClaims": []},
    ],
)
def test_mere_wishes_are_no_reason_to_refuse(spec: dict[str, Any]) -> None:
    assert classified(pod(**spec)).unsupported == ()


def test_equal_pods_that_nobody_controls_share_a_class_within_their_namespace() -> None:
    classes = Classes()
    first, second, other = pod(), pod(), pod()
    other["metadata"]["namespace"] = "other"
    found = [classes.of(document("core/pods", body)) for body in (first, second, other)]
    assert found[0] is found[1] is not found[2]
