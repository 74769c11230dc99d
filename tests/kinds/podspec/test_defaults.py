from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import deployment, pod
from motet.kinds.podspec.defaults import default_spec, pull_policy

Json = dict[str, Any]
Create = Callable[..., Json]


def test_a_one_line_pod_is_filled_in_as_kubectl_shows_it(created: Create) -> None:
    document = created(pod.KIND, {"spec": {"containers": [{"name": "web", "image": "nginx"}]}})
    assert document["spec"] == {
        "containers": [
            {
                "name": "web",
                "image": "nginx",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }
    assert document["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


def test_a_template_gets_less_than_a_pod(created: Create) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}
    document = created(deployment.KIND, {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}})
    spec = document["spec"]["template"]["spec"]
    assert "enableServiceLinks" not in spec
    assert "priority" not in spec
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_probes_and_hooks_are_filled_in() -> None:
    container = {
        "name": "c",
        "image": "i:1",
        "livenessProbe": {"httpGet": {"port": 80}},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}},
        "ports": [{"containerPort": 80}],
    }
    default_spec({"containers": [container]})
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["lifecycle"]["preStop"]["httpGet"]["path"] == "/"
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 0o644}}),
        ({"configMap": {"name": "c"}}, {"configMap": {"name": "c", "defaultMode": 0o644}}),
        ({"configMap": {"name": "c", "defaultMode": 0}}, {"configMap": {"name": "c", "defaultMode": 0}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        ({}, {"emptyDir": {}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 0o644,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
        (
            {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {
                "downwardAPI": {
                    "defaultMode": 0o644,
                    "items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}],
                }
            },
        ),
    ],
)
def test_volumes_are_filled_in(given: Json, filled: Json) -> None:
    spec = {"volumes": [{"name": "v", **given}]}
    default_spec(spec)
    assert spec["volumes"] == [{"name": "v", **filled}]


def test_requests_come_from_limits_in_pods_only(created: Create) -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    document = created(pod.KIND, {"spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
    assert document["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}


def test_host_network_ports_are_host_ports(created: Create) -> None:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}]}
    document = created(pod.KIND, {"spec": {"hostNetwork": True, "containers": [container]}})
    assert document["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


def test_both_names_of_the_service_account_are_kept_equal() -> None:
    spec = {"serviceAccount": "robot", "containers": []}
    default_spec(spec)
    assert spec["serviceAccountName"] == "robot"


def test_filling_in_twice_changes_nothing(created: Create) -> None:
    spec = {
        "containers": [{"name": "c", "image": "i", "readinessProbe": {"grpc": {"port": 1}}}],
        "volumes": [{"name": "v"}, {"name": "w", "image": {"reference": "r"}}],
    }
    once = created(pod.KIND, {"spec": spec})
    assert created(pod.KIND, once) == once
