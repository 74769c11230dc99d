"""Who may do what. Administrators (`system:masters`) may do everything, agents what a node needs, nobody else anything.

The node's list follows the spirit of Kubernetes' node authorizer: read what runs and what it runs with, write about
itself. A node writes only its own Node, its own Lease and the pods bound to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from motet.api.users import MASTERS, User
from motet.base.errors import Forbidden, qualified
from motet.store.cache import Cache

NODES = "system:nodes"
NODE_PREFIX = "system:node:"
NODE_LEASES = "kube-node-lease"

# What everyone with an identity may ask of the server itself.
_PUBLIC_PATHS = ("/api", "/apis", "/openapi", "/version")
_REVIEWS = frozenset({"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"})
_REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})

_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"create", "update", "patch"})
_NODE_RULES: Mapping[tuple[str, str], frozenset[str]] = {
    ("", "namespaces"): _READ,
    ("", "nodes"): _READ | _WRITE,
    ("", "nodes/status"): frozenset({"get", "update", "patch"}),
    ("", "pods"): _READ | {"delete"},
    ("", "pods/status"): frozenset({"get", "update", "patch"}),
    ("", "pods/eviction"): frozenset({"create"}),
    ("", "services"): _READ,
    ("", "endpoints"): _READ,
    ("", "configmaps"): _READ,
    ("", "secrets"): _READ,
    ("", "serviceaccounts"): _READ,
    ("", "serviceaccounts/token"): frozenset({"create"}),
    ("", "persistentvolumes"): _READ,
    ("", "persistentvolumeclaims"): _READ,
    ("", "events"): _WRITE,
    ("events.k8s.io", "events"): _WRITE,
    ("storage.k8s.io", "storageclasses"): _READ,
    ("discovery.k8s.io", "endpointslices"): _READ,
    ("coordination.k8s.io", "leases"): _READ | _WRITE | {"delete"},
}


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for. `path` alone is set for requests that are not about a resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    """Decides from what is in memory; never waits."""

    def decide(self, user: User, attributes: Attributes) -> Decision: ...

    def rules(self, user: User, namespace: str) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        """What `kubectl auth can-i --list` shows: resource rules and non-resource rules."""
        ...


class Roles:
    """The authorizer of built-in roles. `node_of(namespace, pod)` is the node a pod is bound to, or an empty string."""

    def __init__(self, node_of: Callable[[str, str], str]) -> None:
        self._node_of = node_of

    def decide(self, user: User, attributes: Attributes) -> Decision:
        if MASTERS in user.groups:
            return Decision(True, f"{MASTERS} may do everything")
        if _for_everyone(attributes):
            return Decision(True, "allowed to every authenticated user")
        if NODES in user.groups and user.name.startswith(NODE_PREFIX):
            return self._decide_node(user.name.removeprefix(NODE_PREFIX), attributes)
        return Decision(False)

    def _decide_node(self, node: str, asked: Attributes) -> Decision:
        if asked.verb not in _NODE_RULES.get((asked.group, asked.full_resource), frozenset()):
            return Decision(False, "not among the things a node may do")
        if asked.verb in _READ and asked.resource != "leases":
            return Decision(True, "read by every node")
        if asked.resource == "nodes" and asked.name and asked.name != node:
            return Decision(False, f'node "{node}" may not write about node "{asked.name}"')
        if asked.resource == "leases":
            if asked.namespace != NODE_LEASES or (asked.name and asked.name != node):
                return Decision(False, f'node "{node}" has one lease, {NODE_LEASES}/{node}')
            if not asked.name and asked.verb != "create":
                return Decision(False, f'node "{node}" may read its own lease only')
        if asked.resource == "pods" and (
            not asked.name or self._node_of(asked.namespace, asked.name) not in (node, "")
        ):
            return Decision(False, f'pod "{asked.name}" does not run on node "{node}"')
        return Decision(True, "allowed to nodes")

    def rules(self, user: User, namespace: str) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        everyone = [{"verbs": ["create"], "apiGroups": sorted(_REVIEW_GROUPS), "resources": sorted(_REVIEWS)}]
        paths = [path for prefix in _PUBLIC_PATHS for path in (prefix, f"{prefix}/*")]
        public = [{"verbs": ["get"], "nonResourceURLs": paths}]
        if MASTERS in user.groups:
            resources = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            return resources, [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        if NODES in user.groups:
            node = [
                {"verbs": sorted(verbs), "apiGroups": [group], "resources": [resource]}
                for (group, resource), verbs in _NODE_RULES.items()
            ]
            return [*everyone, *node], public
        return everyone, public


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class _PodView(msgspec.Struct, gc=False, frozen=True):
    spec: _PodSpec = _PodSpec()


def pod_node(cache: Cache) -> Callable[[str, str], str]:
    """What `Roles` needs, answered from the cache's table of pods."""

    def node_of(namespace: str, name: str) -> str:
        pod = cache.table("core/pods").get(name, namespace)
        return pod.view(_PodView).spec.node_name if pod is not None else ""

    return node_of


def _for_everyone(asked: Attributes) -> bool:
    if asked.path:
        return asked.verb == "get" and any(
            asked.path == prefix or asked.path.startswith(prefix + "/") for prefix in _PUBLIC_PATHS
        )
    return asked.group in _REVIEW_GROUPS and asked.resource in _REVIEWS and asked.verb == "create"


def refusal(user: User, asked: Attributes, reason: str) -> Forbidden:
    """403 in upstream's words."""
    if asked.path:
        message = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
        return Forbidden(f"{message}: {reason}" if reason else message)
    shown = qualified(asked.group, asked.resource)
    named = f' "{asked.name}"' if asked.name else ""
    where = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
    message = (
        f'{shown}{named} is forbidden: User "{user.name}" cannot {asked.verb} resource "{asked.full_resource}" '
        f'in API group "{asked.group}"{where}'
    )
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return Forbidden(
        f"{message}: {reason}" if reason else message, details={key: value for key, value in details.items() if value}
    )
