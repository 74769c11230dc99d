"""The levels and flow schemas that every cluster begins with (flowcontrol.apiserver.k8s.io/v1), and words they share.

Two levels and two flow schemas are mandatory: their specs cannot be changed, since without them a request might match nothing.
The others are suggested: a start that administrators may change.
"""

from __future__ import annotations

from typing import Any

from motet.base.errors import FieldError, duplicate, required
from motet.kinds.kind import Json
from motet.kinds.shape import objects, text

GROUP = "flowcontrol.apiserver.k8s.io"
EXEMPT, CATCH_ALL = "exempt", "catch-all"
LIMITED_TYPE, EXEMPT_TYPE = "Limited", "Exempt"
QUEUE, REJECT = "Queue", "Reject"
BY_USER, BY_NAMESPACE = "ByUser", "ByNamespace"
DANGLING = "Dangling"
AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"

_ALL_RESOURCES = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
_ALL_PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}
_EVERYTHING: Json = {"resourceRules": [_ALL_RESOURCES], "nonResourceRules": [_ALL_PATHS]}


def _group(name: str) -> Json:
    return {"kind": "Group", "group": {"name": name}}


def _user(name: str) -> Json:
    return {"kind": "User", "user": {"name": name}}


def _account(name: str) -> Json:
    return {"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}}


def _resources(group: str, *resources: str, verbs: tuple[str, ...] = ("*",), cluster: bool = False) -> Json:
    rule = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources), "namespaces": ["*"]}
    return {**rule, "clusterScope": True} if cluster else rule


_ANYBODY = [_group("system:unauthenticated"), _group("system:authenticated")]
_NODES = [_group("system:nodes")]
_CONTROLLERS, _SCHEDULER = _user("system:kube-controller-manager"), _user("system:kube-scheduler")
_SYSTEM_ACCOUNTS = [_account("*")]
_KEEP = ("get", "create", "update")
_LEASES = _resources("coordination.k8s.io", "leases", verbs=_KEEP)


def _schema(precedence: int, level: str, subjects: list[Json], rules: Json, by: str = "") -> Json:
    spec: Json = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": subjects, **rules}],
    }
    return {**spec, "distinguisherMethod": {"type": by}} if by else spec


def _level(shares: int, lendable: int, *queuing: int) -> Json:
    response: Json = {"type": REJECT}
    if queuing:
        queues, hand, length = queuing
        response = {"type": QUEUE, "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable}
    return {"type": LIMITED_TYPE, "limited": limited}


# Specs by name, as defaults leave them.
MANDATORY_LEVELS: dict[str, Json] = {
    EXEMPT: {"type": EXEMPT_TYPE, "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    CATCH_ALL: _level(5, 0),
}
SUGGESTED_LEVELS: dict[str, Json] = {
    "system": _level(30, 33, 64, 6, 50),
    "node-high": _level(40, 25, 64, 6, 50),
    "leader-election": _level(10, 0, 16, 4, 50),
    "workload-high": _level(40, 50, 128, 6, 50),
    "workload-low": _level(100, 90, 128, 6, 50),
    "global-default": _level(20, 50, 128, 6, 50),
}
MANDATORY_SCHEMAS: dict[str, Json] = {
    EXEMPT: _schema(1, EXEMPT, [_group("system:masters")], _EVERYTHING),
    CATCH_ALL: _schema(10_000, CATCH_ALL, _ANYBODY, _EVERYTHING, BY_USER),
}
SUGGESTED_SCHEMAS: dict[str, Json] = {
    "probes": _schema(
        2,
        EXEMPT,
        _ANYBODY,
        {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]},
    ),
    "system-leader-election": _schema(
        100, "leader-election", [_CONTROLLERS, _SCHEDULER, *_SYSTEM_ACCOUNTS], {"resourceRules": [_LEASES]}, BY_USER
    ),
    "endpoint-controller": _schema(
        150,
        "workload-high",
        [_CONTROLLERS, _account("endpoint-controller"), _account("endpointslicemirroring-controller")],
        {"resourceRules": [_resources("", "endpoints", verbs=_KEEP)]},
        BY_USER,
    ),
    "workload-leader-election": _schema(
        200, "leader-election", _SYSTEM_ACCOUNTS, {"resourceRules": [_LEASES]}, BY_USER
    ),
    "system-node-high": _schema(
        400,
        "node-high",
        _NODES,
        {
            "resourceRules": [
                _resources("", "nodes", "nodes/status", cluster=True),
                _resources("coordination.k8s.io", "leases"),
            ]
        },
        BY_USER,
    ),
    "system-nodes": _schema(500, "system", _NODES, _EVERYTHING, BY_USER),
    "kube-controller-manager": _schema(800, "workload-high", [_CONTROLLERS], _EVERYTHING, BY_NAMESPACE),
    "kube-scheduler": _schema(800, "workload-high", [_SCHEDULER], _EVERYTHING, BY_NAMESPACE),
    "kube-system-service-accounts": _schema(900, "workload-high", _SYSTEM_ACCOUNTS, _EVERYTHING, BY_NAMESPACE),
    "service-accounts": _schema(9000, "workload-low", [_group("system:serviceaccounts")], _EVERYTHING, BY_USER),
    "global-default": _schema(9900, "global-default", _ANYBODY, _EVERYTHING, BY_USER),
}


def conditions(document: Json) -> list[FieldError]:
    """Complaints about the conditions in a status: each type once."""
    seen: set[Any] = set()
    errors = []
    for index, condition in enumerate(objects(document, "status", "conditions")):
        path, kind = f"status.conditions[{index}].type", text(condition, "type")
        if kind in seen:
            errors.append(duplicate(path, kind))
        seen.add(kind)
        if not kind:
            errors.append(required(path, "must not be empty"))
    return errors
