"""Who may do what. Administrators (`system:masters`) may do everything, agents what a node needs, nobody else anything.

The node's list follows the spirit of Kubernetes' node authorizer: read what runs and what it runs with, write about
itself. A node writes only its own Node, its own Lease and the pods bound to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from motet.api.users import MASTERS, NODES, User
from motet.base.errors import Forbidden, qualified

NODE_PREFIX = "system:node:"
NODE_LEASES = "kube-node-lease"

# What everyone with an identity may ask of the server itself.
_PUBLIC_PATHS = ("/api", "/apis", "/openapi", "/version")
_REVIEWS = frozenset({"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"})
_REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})

# Set on a volume whose data lies on one node: by it an agent selects its own.
VOLUME_NODE_LABEL = "motet.dev/node"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for. `path` alone is set for requests that are not about a resource.

    `fields` and `labels` are what a list or watch is narrowed to; empty for other verbs and where nobody looks at them.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: FieldSelector = FieldSelector()
    labels: Selector = EVERYTHING

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """`missing`: what is asked for does not exist, which the caller may know (404 instead of 403)."""

    allowed: bool
    reason: str = ""
    missing: bool = False


class Authorizer(Protocol):
    """Decides from what is in memory; never waits."""

    def decide(self, user: User, attributes: Attributes) -> Decision: ...

    def rules(self, user: User, namespace: str) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        """What `kubectl auth can-i --list` shows: resource rules and non-resource rules."""
        ...


class Roles:
    """The authorizer of built-in roles."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = NodeRules(graph)

    def decide(self, user: User, attributes: Attributes) -> Decision:
        if MASTERS in user.groups:
            return Decision(True, f"{MASTERS} may do everything")
        if _for_everyone(attributes):
            return Decision(True, "allowed to every authenticated user")
        if NODES in user.groups and user.name.startswith(NODE_PREFIX):
            return self._nodes.decide(user.name.removeprefix(NODE_PREFIX), attributes)
        return Decision(False)

    def rules(self, user: User, namespace: str) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        everyone = [{"verbs": ["create"], "apiGroups": sorted(_REVIEW_GROUPS), "resources": sorted(_REVIEWS)}]
        paths = [path for prefix in _PUBLIC_PATHS for path in (prefix, f"{prefix}/*")]
        public = [{"verbs": ["get"], "nonResourceURLs": paths}]
        if MASTERS in user.groups:
            resources = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            return resources, [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        if NODES in user.groups:
            return [*everyone, *node_rules()], public
        return everyone, public


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
