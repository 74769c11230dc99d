"""What one object uses of a quota."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from motet.api.quota import measure
from motet.api.quota.measure import CLAIMS, PODS, SERVICES, Scope
from motet.base.timestamps import format_time

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def view(resource: str, document: dict[str, Any]) -> Any:
    return measure.decoder(resource).decode(msgspec.json.encode(document))


def container(
    requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> Any:
    return view(PODS, {"spec": {"containers": list(containers), **spec}, "status": status or {}})


def used(resource: str, found: Any) -> dict[str, str]:
    return {name: measure.shown(name, amount) for name, amount in measure.measure(resource, found, NOW).items()}


def test_a_pod_counts_with_what_its_containers_ask_for_together() -> None:
    found = used(PODS, pod(container({"cpu": "300m", "memory": "64Mi"}), container({"cpu": "1"}, {"cpu": "2"})))
    assert found == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "1300m",
        "requests.cpu": "1300m",
        "memory": "64Mi",
        "requests.memory": "64Mi",
        "limits.cpu": "2",
    }


def test_the_largest_init_container_counts_beside_the_sidecars_before_it() -> None:
    inits = [container({"cpu": "100m"}, restartPolicy="Always"), container({"cpu": "2"})]
    assert used(PODS, pod(container({"cpu": "1"}), initContainers=inits))["cpu"] == "2100m"
    assert used(PODS, pod(container({"cpu": "3"}), initContainers=inits))["cpu"] == "3100m"


def test_overhead_and_what_a_whole_pod_asks_for_count() -> None:
    found = pod(
        container({"cpu": "1"}), resources={"requests": {"cpu": "2"}}, overhead={"cpu": "250m", "memory": "1Mi"}
    )
    assert used(PODS, found)["requests.cpu"] == "2250m"


def test_extended_resources_count_as_requests_only() -> None:
    found = used(PODS, pod(container({"example.com/gpu": "2", "hugepages-2Mi": "4Mi"})))
    assert found["requests.example.com/gpu"] == "2"
    assert {"hugepages-2Mi", "requests.hugepages-2Mi"} <= found.keys()
    assert "example.com/gpu" not in found


def test_a_pod_that_has_ended_is_an_object_and_nothing_else() -> None:
    assert used(PODS, pod(container({"cpu": "1"}), status={"phase": "Succeeded"})) == {"count/pods": "1"}


def test_a_pod_that_is_stuck_on_its_way_out_stops_counting_after_its_grace() -> None:
    def leaving(ago: float) -> Any:
        meta = {"deletionTimestamp": format_time(NOW - timedelta(seconds=ago)), "deletionGracePeriodSeconds": 30}
        return view(PODS, {"metadata": meta, "spec": {"containers": []}})

    assert "pods" in used(PODS, leaving(29))
    assert "pods" not in used(PODS, leaving(31))


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP"}, 0, 0),
        ({"type": "NodePort"}, 2, 0),
        ({"type": "LoadBalancer"}, 2, 1),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, 1, 1),
    ],
)
def test_services_count_by_what_they_open(spec: dict[str, Any], ports: int, balancers: int) -> None:
    service = view(SERVICES, {"spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 81}], **spec}})
    found = measure.measure(SERVICES, service, NOW)
    assert (found["services.nodeports"], found["services.loadbalancers"]) == (1000 * ports, 1000 * balancers)


def test_claims_count_by_size_and_class() -> None:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
    assert used(CLAIMS, view(CLAIMS, {"spec": spec})) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }


def test_every_object_counts_under_its_full_name() -> None:
    assert used("apps/deployments", view("apps/deployments", {})) == {"count/deployments.apps": "1"}
    assert used("core/secrets", view("core/secrets", {})) == {"count/secrets": "1", "secrets": "1"}


@pytest.mark.parametrize("name", ["pods", "limits.cpu", "count/deployments.apps", "services.nodeports", "requests.storage", "a.storageclass.storage.k8s.io/requests.storage", "requests.example.com/gpu", "secrets"])  # fmt: skip
def test_each_name_is_measured_where_it_is_looked_for(name: str) -> None:
    resource = measure.resource_of(name)
    found: dict[str, Any] = {
        PODS: {"spec": {"containers": [container({"example.com/gpu": "1"}, {"cpu": "1"})]}},
        CLAIMS: {"spec": {"storageClassName": "a"}},
    }.get(resource, {})
    assert name in measure.measure(resource, view(resource, found), NOW)


@pytest.mark.parametrize(
    ("scope", "spec", "status", "counts"),
    [
        (Scope("Terminating"), {"activeDeadlineSeconds": 5}, {}, True),
        (Scope("NotTerminating"), {"activeDeadlineSeconds": 5}, {}, False),
        (Scope("BestEffort"), {}, {"qosClass": "BestEffort"}, True),
        (Scope("NotBestEffort"), {}, {"qosClass": "Burstable"}, True),
        (Scope("PriorityClass", "In", ("high",)), {"priorityClassName": "high"}, {}, True),
        (Scope("PriorityClass", "NotIn", ("high",)), {"priorityClassName": "high"}, {}, False),
        (Scope("PriorityClass", "Exists"), {}, {}, False),
        (Scope("PriorityClass", "DoesNotExist"), {}, {}, True),
        (
            Scope("CrossNamespacePodAffinity"),
            {
                "affinity": {
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaceSelector": {}}]}
                }
            },
            {},
            True,
        ),
        (Scope("CrossNamespacePodAffinity"), {}, {}, False),
    ],
)
def test_scopes_are_about_the_pod(scope: Scope, spec: dict[str, Any], status: dict[str, Any], counts: bool) -> None:
    assert measure.matches([scope], PODS, pod(status=status, **spec)) is counts


def test_scopes_count_nothing_but_pods() -> None:
    assert not measure.matches([Scope("BestEffort")], "core/secrets", None)
    assert measure.matches([], "core/secrets", None)


def test_containers_that_say_nothing_of_what_counts_are_named() -> None:
    found = pod(container({"cpu": "1"}), {"name": "quiet"})
    assert measure.missing(["requests.cpu", "limits.memory", "pods"], found) == (
        "must specify limits.memory for: c,quiet; requests.cpu for: quiet"
    )
    assert measure.missing(["pods", "requests.example.com/gpu"], found) == ""
