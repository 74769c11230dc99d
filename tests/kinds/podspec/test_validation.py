"""Each case: a change to a pod that is fine, and the one complaint it earns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from motet.kinds import deployment, pod

Json = dict[str, Any]
Complaints = Callable[..., list[str]]
FINE: Json = {"containers": [{"name": "c", "image": "i"}]}


def container(**fields: Any) -> Json:
    return {"containers": [{"name": "c", "image": "i", **fields}]}


def mounted(source: Json, mount: Json | None = None) -> Json:
    mounts = [{"name": "v", "mountPath": "/v", **(mount or {})}]
    return {**container(volumeMounts=mounts), "volumes": [{"name": "v", **source}]}


def env(**source: Any) -> Json:
    return container(env=[{"name": "A", **source}])


def affinity(*terms: Json) -> Json:
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


ACCEPTED: dict[str, Json] = {
    "the least": {},
    "everything a container may have": container(
        command=["a"],
        ports=[{"name": "http", "containerPort": 80}, {"containerPort": 80, "protocol": "UDP", "hostPort": 53}],
        env=[
            {"name": "with.dots and spaces", "value": "x"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}],
        resources={"limits": {"cpu": "1", "example.com/gpu": 1}, "requests": {"cpu": "0.5", "example.com/gpu": 1}},
        livenessProbe={"exec": {"command": ["true"]}},
        readinessProbe={"tcpSocket": {"port": "http"}, "successThreshold": 2},
        startupProbe={"grpc": {"port": 9}},
        lifecycle={"preStop": {"sleep": {"seconds": 5}}},
        securityContext={
            "runAsUser": 0,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    ),
    "sidecars with probes": {
        "initContainers": [
            {"name": "s", "image": "i", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": 1}}}
        ]
    },
    "several volumes": {
        **container(
            volumeMounts=[{"name": "a", "mountPath": "/a", "subPath": "x/y"}, {"name": "b", "mountPath": "/b"}]
        ),
        "volumes": [
            {"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"name": "b", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p", "mode": 256}]}},
            {"name": "c", "nfs": {"server": "s", "path": "/p"}},
        ],
    },
    "tolerations": {"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]},
    "node affinity": affinity({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}),
    "dns of its own": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"], "searches": ["a.b", "."]}},
    "a negative grace period": {"terminationGracePeriodSeconds": -1},
    "user namespaces": {"hostUsers": False},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_pod_may_have(changes: Json, complaints: Complaints) -> None:
    assert complaints(pod.KIND, {"spec": {**FINE, **changes}}) == []


REFUSED: list[tuple[Json, str]] = [
    ({"containers": []}, "spec.containers: Required value"),
    ({"containers": [{"name": "c"}]}, "spec.containers[0].image: Required value"),
    (
        container(image=" i"),
        'spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace',
    ),
    (
        {"containers": [{"name": "C", "image": "i"}]},
        'spec.containers[0].name: Invalid value: "C": a lowercase RFC 1123',
    ),
    ({"initContainers": [{"name": "c", "image": "i"}]}, 'spec.containers[0].name: Duplicate value: "c"'),
    (container(imagePullPolicy="Often"), 'spec.containers[0].imagePullPolicy: Unsupported value: "Often"'),
    (
        container(terminationMessagePolicy="x"),
        "spec.containers[0].terminationMessagePolicy: Invalid value: \"x\": must be 'File' or 'FallbackToLogsOnError'",
    ),
    # ports
    (container(ports=[{"containerPort": 0}]), "spec.containers[0].ports[0].containerPort: Required value"),
    (
        container(ports=[{"containerPort": 70000}]),
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        container(ports=[{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]),
        'spec.containers[0].ports[1].name: Duplicate value: "a"',
    ),
    (
        container(ports=[{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]),
        'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9"',
    ),
    (
        {**container(ports=[{"containerPort": 1, "hostPort": 2}]), "hostNetwork": True},
        "spec.containers[0].ports[0].containerPort: Invalid value: 1: must match `hostPort` when `hostNetwork` is true",
    ),
    # environment
    (env(name=""), "spec.containers[0].env[0].name: Required value"),
    (env(name="a=b"), 'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name'),
    (env(valueFrom={}), 'spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`'),
    (
        env(value="x", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
        'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        env(valueFrom={"fieldRef": {"fieldPath": "spec.hostname"}}),
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.hostname": error converting',
    ),
    (
        env(valueFrom={"fieldRef": {"fieldPath": "metadata.labels"}}),
        'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels"',
    ),
    (
        env(valueFrom={"resourceFieldRef": {"resource": "limits.gpu"}}),
        'spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu"',
    ),
    (
        env(valueFrom={"configMapKeyRef": {"name": "c", "key": "a b"}}),
        'spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Invalid value: "a b": a valid config key',
    ),
    (container(envFrom=[{}]), 'spec.containers[0].envFrom[0]: Invalid value: "": must specify one of: `configMapRef`'),
    # volumes
    ({"volumes": [{"name": "a"}, {"name": "a"}]}, 'spec.volumes[1].name: Duplicate value: "a"'),
    (
        {"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]},
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
    ),
    (mounted({"emptyDir": {}}, {"name": "w"}), 'spec.containers[0].volumeMounts[0].name: Not found: "w"'),
    (
        mounted({}, {"subPath": "/a"}),
        'spec.containers[0].volumeMounts[0].subPath: Invalid value: "/a": must be a relative',
    ),
    (
        mounted({}, {"subPath": "a/../b"}),
        'spec.containers[0].volumeMounts[0].subPath: Invalid value: "a/../b": must not',
    ),
    (
        mounted({}, {"mountPropagation": "Bidirectional"}),
        "spec.containers[0].volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available",
    ),
    (
        {
            **container(volumeMounts=[{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]),
            "volumes": [{"name": "v"}],
        },
        'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique',
    ),
    (mounted({"hostPath": {"path": "/a/../b"}}), 'spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not'),
    (mounted({"hostPath": {"path": "/a", "type": "Dir"}}), 'spec.volumes[0].hostPath.type: Unsupported value: "Dir"'),
    (mounted({"secret": {}}), "spec.volumes[0].secret.secretName: Required value"),
    (
        mounted({"secret": {"secretName": "s", "defaultMode": 512}}),
        "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both",
    ),
    (
        mounted({"configMap": {"name": "c", "items": [{"key": "k", "path": "..x"}]}}),
        "spec.volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..'",
    ),
    (
        mounted({"persistentVolumeClaim": {"claimName": ""}}),
        "spec.volumes[0].persistentVolumeClaim.claimName: Required",
    ),
    (
        mounted({"projected": {"sources": [{"secret": {"name": "s"}, "configMap": {"name": "c"}}]}}),
        "spec.volumes[0].projected.sources[0].configMap: Forbidden: may not specify more than 1 volume type per source",
    ),
    # handlers
    (container(livenessProbe={}), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
    (
        container(livenessProbe={"exec": {"command": ["a"]}, "grpc": {"port": 1}}),
        "spec.containers[0].livenessProbe.grpc: Forbidden: may not specify more than 1 handler type",
    ),
    (
        container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    (
        container(livenessProbe={"exec": {"command": ["a"]}, "periodSeconds": -1}),
        "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
    ),
    (
        container(readinessProbe={"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 1}),
        "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for",
    ),
    (
        {"initContainers": [{"name": "x", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]},
        "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
    (
        container(lifecycle={"preStop": {"sleep": {"seconds": 31}}}),
        "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than",
    ),
    # resources
    (
        container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        container(resources={"requests": {"memory": "-1"}}),
        'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
    ),
    (
        container(resources={"requests": {"example.com/gpu": "1"}}),
        "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
    ),
    # security
    (
        container(securityContext={"runAsUser": -1}),
        "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ),
    (
        container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
        "spec.containers[0].securityContext: Invalid value",
    ),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
    ),
    (
        {"securityContext": {"sysctls": [{"name": "a b", "value": "1"}]}},
        'spec.securityContext.sysctls[0].name: Invalid value: "a b": must have at most 253 characters',
    ),
    ({"shareProcessNamespace": True, "hostPID": True}, "spec.shareProcessNamespace: Invalid value: true"),
    ({"hostUsers": False, "hostNetwork": True}, "spec.hostUsers: Forbidden: when `hostNetwork` is true"),
    # scheduling
    ({"nodeSelector": {"a": "b c"}}, 'spec.nodeSelector: Invalid value: "b c": a valid label must be'),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        "spec.tolerations[0].operator: Invalid value",
    ),
    (
        {"tolerations": [{"value": "b"}]},
        'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when',
    ),
    ({"tolerations": [{"key": "a", "effect": "Never"}]}, 'spec.tolerations[0].effect: Unsupported value: "Never"'),
    (
        {"tolerations": [{"key": "a", "tolerationSeconds": 1}]},
        "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    ),
    (
        affinity(),
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must",
    ),
    (
        affinity({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]}),
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]",
    ),
    (
        {"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
        "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    ),
    # the pod itself
    (
        {"restartPolicy": "Sometimes"},
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "N',
    ),
    ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647"),
    ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    ({"dnsPolicy": "Mine"}, 'spec.dnsPolicy: Unsupported value: "Mine"'),
    ({"dnsConfig": {"nameservers": ["x"]}}, 'spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP'),
    (
        {"hostAliases": [{"ip": "x", "hostnames": ["a"]}]},
        'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP',
    ),
    ({"hostname": "a.b"}, 'spec.hostname: Invalid value: "a.b": a lowercase RFC 1123 label'),
    (
        {"ephemeralContainers": [{"name": "e", "image": "i"}]},
        "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ),
]


@pytest.mark.parametrize(("changes", "start"), REFUSED, ids=[start.partition(":")[0] for _, start in REFUSED])
def test_a_pod_may_not_have(changes: Json, start: str, complaints: Complaints) -> None:
    found = complaints(pod.KIND, {"spec": {**FINE, **changes}})
    assert len(found) == 1, found
    assert found[0].startswith(start)


def test_what_was_fine_under_one_owner_is_still_checked_under_another(complaints: Complaints) -> None:
    spec = {**FINE, "restartPolicy": "Never"}
    assert complaints(pod.KIND, {"spec": spec}) == []
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    document = {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    assert complaints(deployment.KIND, document) != []
