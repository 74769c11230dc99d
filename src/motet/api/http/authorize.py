"""Who may do what. Administrators (`system:masters`) may do everything, agents what a node needs (`noderules`), nobody
else anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from motet.api.http.attributes import Attributes, Decision
from motet.api.http.noderules import Graph, NodeRules, node_rules
from motet.api.users import MASTERS, NODE_PREFIX, NODES, User
from motet.base.errors import Forbidden, qualified

__all__ = ["NODES", "NODE_PREFIX", "Attributes", "Authorizer", "Decision", "Roles", "refusal"]

# What everyone with an identity may ask of the server itself.
_PUBLIC_PATHS = ("/api", "/apis", "/openapi", "/version", "/.well-known/openid-configuration", "/openid/v1/jwks")
_REVIEWS = frozenset({"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"})
_REVIEW_GROUPS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})


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
