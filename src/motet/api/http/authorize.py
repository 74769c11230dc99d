"""Who may do what: administrators everything, nodes what a node needs (`noderules`), everybody what roles say (`api/rbac`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from motet.api.attributes import Attributes, Decision
from motet.api.http.noderules import Graph, NodeRules, node_rules
from motet.api.rbac.index import RbacIndex
from motet.api.users import MASTERS, NODE_PREFIX, NODES, User
from motet.base.errors import Forbidden, qualified

__all__ = ["NODES", "NODE_PREFIX", "Attributes", "Authorizer", "Decision", "Roles", "refusal"]

_EVERYTHING = Decision(True, f"{MASTERS} may do everything")
_NOTHING = Decision(False)


class Authorizer(Protocol):
    """Decides from what is in memory; never waits."""

    def decide(self, user: User, attributes: Attributes) -> Decision: ...

    def rules(self, user: User, namespace: str) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        """What `kubectl auth can-i --list` shows: resource rules and non-resource rules."""
        ...


class Roles:
    """The three of them in this order; the first that allows decides."""

    def __init__(self, graph: Graph, rbac: RbacIndex) -> None:
        self._nodes = NodeRules(graph)
        self._rbac = rbac

    def decide(self, user: User, attributes: Attributes) -> Decision:
        if MASTERS in user.groups:
            return _EVERYTHING
        decision = _NOTHING
        if NODES in user.groups and user.name.startswith(NODE_PREFIX):
            decision = self._nodes.decide(user.name.removeprefix(NODE_PREFIX), attributes)
            if decision.allowed or decision.missing:
                return decision
        grant = self._rbac.allows(user, attributes)
        return Decision(True, grant.reason) if grant is not None else decision

    def rules(self, user: User, namespace: str) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
        if MASTERS in user.groups:
            resources = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            return resources, [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        found = [msgspec.to_builtins(rule) for rule in self._rbac.rules_of(user, namespace)]
        resources = [rule for rule in found if "nonResourceURLs" not in rule]
        if NODES in user.groups:
            resources += node_rules()
        return resources, [rule for rule in found if "nonResourceURLs" in rule]


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
