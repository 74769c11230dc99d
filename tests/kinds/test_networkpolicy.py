from datetime import UTC, datetime
from typing import Any

import pytest

from motet.kinds import networkpolicy, podaddress

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def errors(**spec: Any) -> list[str]:
    document = {"metadata": {"name": "p"}, "spec": {"podSelector": {}, **spec}}
    networkpolicy.default(document)
    return [error.message() for error in networkpolicy.validate(document, None)]


def test_a_policy_is_about_ingress_unless_it_says_or_has_egress() -> None:
    for spec, types in (
        ({}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"policyTypes": ["Egress"]}, ["Egress"]),
    ):
        document: dict[str, Any] = {"spec": dict(spec)}
        networkpolicy.default(document)
        assert document["spec"]["policyTypes"] == types


def test_a_port_is_tcp_unless_it_says() -> None:
    document: dict[str, Any] = {
        "spec": {"ingress": [{"ports": [{"port": 80}]}], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}
    }
    networkpolicy.default(document)
    assert document["spec"]["ingress"][0]["ports"][0]["protocol"] == "TCP"
    assert document["spec"]["egress"][0]["ports"][0]["protocol"] == "UDP"


def test_everything_at_once_is_fine() -> None:
    assert (
        errors(
            ingress=[
                {
                    "from": [
                        {"podSelector": {"matchLabels": {"a": "b"}}, "namespaceSelector": {}},
                        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                    ],
                    "ports": [
                        {"port": "http"},
                        {"port": 8000, "endPort": 9000, "protocol": "UDP"},
                        {"protocol": "SCTP"},
                    ],
                }
            ],
            egress=[{}],
        )
        == []
    )


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"ingress": [{"from": [{}]}]}, "spec.ingress[0].from[0]"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}, "spec.egress[0].to[0]"),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}, "spec.egress[0].to[0].ipBlock.cidr"),
        ({"egress": [{"to": [{"ipBlock": {}}]}]}, "spec.egress[0].to[0].ipBlock.cidr"),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}}]}]},
            "spec.egress[0].to[0].ipBlock.except[0]",
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]},
            "spec.egress[0].to[0].ipBlock.except[0]",
        ),
        ({"ingress": [{"ports": [{"endPort": 90}]}]}, "spec.ingress[0].ports[0].endPort"),
        ({"ingress": [{"ports": [{"port": "http", "endPort": 90}]}]}, "spec.ingress[0].ports[0].endPort"),
        ({"ingress": [{"ports": [{"port": 91, "endPort": 90}]}]}, "spec.ingress[0].ports[0].endPort"),
        ({"ingress": [{"ports": [{"port": 0}]}]}, "spec.ingress[0].ports[0].port"),
        ({"ingress": [{"ports": [{"port": "Not A Name"}]}]}, "spec.ingress[0].ports[0].port"),
        ({"ingress": [{"ports": [{"port": 1, "protocol": "ICMP"}]}]}, "spec.ingress[0].ports[0].protocol"),
        ({"policyTypes": ["Ingres"]}, "spec.policyTypes[0]"),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Im"}]}},
            "spec.podSelector.matchExpressions[0].operator",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(spec: dict[str, Any], path: str) -> None:
    assert any(error.startswith(f"{path}: ") for error in errors(**spec)), errors(**spec)


def test_kubectl_shows_which_pods_it_is_about() -> None:
    column = networkpolicy.KIND.columns[1]
    assert column.name == "Pod-Selector"
    assert column.cell({"spec": {"podSelector": {}}}, NOW) == "<none>"
    assert column.cell({"spec": {"podSelector": {"matchLabels": {"app": "web"}}}}, NOW) == "app=web"


def test_an_address_says_nothing_of_what_its_pod_holds() -> None:
    container = {
        "name": "app",
        "image": "i",
        "command": ["secret"],
        "env": [{"name": "PASSWORD", "value": "secret"}],
        "ports": [{"name": "http", "containerPort": 80}],
    }
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "labels": {"a": "b"}, "annotations": {"x": "secret"}},
        "spec": {"nodeName": "n1", "containers": [container], "volumes": [{"name": "secret"}]},
        "status": {"phase": "Running", "podIP": "10.42.0.2", "message": "secret"},
    }
    podaddress.read(document)
    assert "secret" not in str(document)
    assert document == {
        "apiVersion": "motet.dev/v1",
        "kind": "PodAddress",
        "metadata": {"name": "p", "namespace": "default", "labels": {"a": "b"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 80}]}]},
        "status": {"phase": "Running", "podIP": "10.42.0.2"},
    }
