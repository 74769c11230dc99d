"""Documents wanted beside documents there."""

from __future__ import annotations

from typing import Any

from motet.cli.apply.objects import overlay


def service(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}


def test_numbers_a_service_was_given_are_kept() -> None:
    live = service(
        type="NodePort", clusterIP="10.43.0.7", clusterIPs=["10.43.0.7"], ports=[{"port": 80, "nodePort": 30001}]
    )
    merged = overlay(live, service(type="NodePort", ports=[{"port": 80}, {"port": 81}]))["spec"]
    assert merged["clusterIP"] == "10.43.0.7"
    assert merged["ports"] == [{"port": 80, "nodePort": 30001}, {"port": 81}]


def test_an_address_does_not_follow_a_service_that_becomes_headless() -> None:
    merged = overlay(service(clusterIP="10.43.0.7"), service(clusterIP="None"))["spec"]
    assert merged == {"clusterIP": "None"}


def test_finalizers_owners_and_revision_stay() -> None:
    live = service() | {"metadata": {"name": "s", "finalizers": ["f"], "resourceVersion": "7"}, "status": {"x": 1}}
    merged = overlay(live, service(type="ClusterIP"))
    assert merged["metadata"] == {"name": "s", "finalizers": ["f"], "resourceVersion": "7"}
    assert merged["status"] == {"x": 1}


def test_what_is_given_is_not_changed() -> None:
    live, wanted = (
        service(ports=[{"port": 80, "nodePort": 1}], type="NodePort"),
        service(ports=[{"port": 80}], type="NodePort"),
    )
    overlay(live, wanted)
    assert wanted == service(ports=[{"port": 80}], type="NodePort")
