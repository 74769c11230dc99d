"""What a node may do (after Kubernetes' node authorizer and NodeRestriction): read what its own pods use, write about itself.

Everything is decided from tables in memory. Reading by name needs a pod of the node that names the object; listing and
watching needs a selector that leaves nothing but the node's own. What every node needs to route traffic (services, slices,
namespaces, the addresses of its peers) is read by all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from motet.api.attributes import Attributes, Decision
from motet.kinds.persistentvolume import NODE_LABEL

NODE_LEASES = "kube-node-lease"


class Graph(Protocol):
    """What `NodeRules` asks of `nodegraph.NodeGraph`."""

    def node_of(self, namespace: str, pod: str) -> str | None: ...

    def uses(self, node: str, resource: str, namespace: str, name: str) -> bool: ...

    def serves(self, namespace: str, secret: str) -> bool: ...

    def volume_of(self, node: str, name: str) -> bool: ...

    def leaving_volume_of(self, node: str, name: str) -> bool: ...

    def opens(self, node: str, namespace: str, secret: str) -> bool: ...

    def attachment_of(self, node: str, name: str) -> bool: ...

    def event_from(self, node: str, namespace: str, name: str) -> bool | None: ...


_GET = frozenset({"get"})
_READ = frozenset({"get", "list", "watch"})
_STATUS = frozenset({"get", "update", "patch"})
_EVENTS = frozenset({"create", "update", "patch"})

# Read by every node: where traffic goes, and who may talk to whom.
_COMMON = frozenset(
    {
        ("", "namespaces"),
        ("", "nodes"),
        ("", "services"),
        ("", "endpoints"),
        ("discovery.k8s.io", "endpointslices"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "networkpolicies"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "storageclasses"),
        ("node.k8s.io", "runtimeclasses"),
        ("motet.dev", "networks"),
        ("motet.dev", "podaddresses"),
    }
)
_ALLOWED = "allowed to nodes"


class NodeRules:
    """Decides for one node at a time."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._rules: Mapping[tuple[str, str], tuple[frozenset[str], Callable[[str, Attributes], Decision]]] = {
            ("", "nodes"): (_READ | {"update", "patch"}, self._node),
            ("", "nodes/status"): (_STATUS, self._node),
            ("", "pods"): (_READ | {"create", "delete"}, self._pod),
            ("", "pods/status"): (_STATUS, self._pod),
            ("", "pods/eviction"): (frozenset({"create"}), self._pod),
            ("", "configmaps"): (_READ, self._used),
            ("", "secrets"): (_READ, self._used),
            ("", "serviceaccounts"): (_GET, self._used),
            ("", "serviceaccounts/token"): (frozenset({"create"}), self._used),
            ("", "persistentvolumeclaims"): (_READ, self._used),
            ("", "persistentvolumeclaims/status"): (_STATUS, self._used),
            ("storage.k8s.io", "csinodes"): (_GET | _EVENTS | {"delete"}, self._csi_node),
            ("storage.k8s.io", "volumeattachments"): (_GET, self._attachment),
            ("", "persistentvolumes"): (_READ | {"patch"}, self._volume),
            ("", "events"): (_EVENTS, self._event),
            ("events.k8s.io", "events"): (_EVENTS, self._event),
            ("coordination.k8s.io", "leases"): (_READ | _EVENTS | {"delete"}, self._lease),
        }

    def decide(self, node: str, asked: Attributes) -> Decision:
        """Whether `node` may; the reason names what it lacks and nothing of what it may not know."""
        resource = (asked.group, asked.full_resource)
        if asked.verb in _READ and resource in _COMMON:
            return Decision(True, "read by every node")
        verbs, rule = self._rules.get(resource, (frozenset[str](), _never))
        if asked.verb not in verbs:
            return Decision(False, "not among the things a node may do")
        return rule(node, asked)

    def _node(self, node: str, asked: Attributes) -> Decision:
        if asked.name != node:
            return Decision(False, f'node "{node}" may not write about node "{asked.name}"')
        return Decision(True, _ALLOWED)

    def _pod(self, node: str, asked: Attributes) -> Decision:
        if asked.verb in ("list", "watch") and not asked.name:
            return _narrowed(asked, "spec.nodeName", node)
        if asked.verb == "create" and not asked.subresource:
            # Only reflections of what it runs of its own accord, which NodeRestriction sees to.
            return Decision(True, _ALLOWED)
        where = self._graph.node_of(asked.namespace, asked.name) if asked.name else ""
        if where is None:
            return Decision(False, missing=True)
        if where != node:
            return Decision(False, f'pod "{asked.name}" does not run on node "{node}"')
        return Decision(True, _ALLOWED)

    def _used(self, node: str, asked: Attributes) -> Decision:
        name = asked.one_name
        if not name or not asked.namespace:
            return Decision(False, f"node {node!r} may read {asked.resource} only one by one, by name")
        served = asked.resource == "secrets" and asked.verb == "get" and self._graph.serves(asked.namespace, name)
        served = served or (asked.resource == "secrets" and self._graph.opens(node, asked.namespace, name))
        if not served and not self._graph.uses(node, asked.resource, asked.namespace, name):
            return Decision(False, f"no pod on node {node!r} uses it")
        return Decision(True, _ALLOWED)

    def _volume(self, node: str, asked: Attributes) -> Decision:
        if asked.verb == "patch":
            if self._graph.leaving_volume_of(node, asked.name):
                return Decision(True, _ALLOWED)
            return Decision(False, f"it is not a volume of node {node!r} that is being deleted")
        if any(
            each.key == NODE_LABEL and each.operator in ("=", "in") and each.values == (node,)
            for each in asked.labels.requirements
        ):
            return Decision(True, _ALLOWED)
        name = asked.one_name
        if not name or not self._graph.volume_of(node, name):
            return Decision(False, f"it is not among the volumes of node {node!r}")
        return Decision(True, _ALLOWED)

    def _csi_node(self, node: str, asked: Attributes) -> Decision:
        # The name of a new one is in its body, and is asked about again when that has been read.
        if asked.one_name == node or (asked.verb == "create" and not asked.name):
            return Decision(True, _ALLOWED)
        return Decision(False, f'node "{node}" has one CSINode, named after it')

    def _attachment(self, node: str, asked: Attributes) -> Decision:
        if asked.name and self._graph.attachment_of(node, asked.name):
            return Decision(True, _ALLOWED)
        return Decision(False, f"it is no attachment of a volume to node {node!r}")

    def _event(self, node: str, asked: Attributes) -> Decision:
        if asked.verb == "create":
            return Decision(True, _ALLOWED)
        told = self._graph.event_from(node, asked.namespace, asked.name) if asked.name else False
        if told is None:
            return Decision(False, missing=True)
        return Decision(told, _ALLOWED if told else f"the event was not told by node {node!r}")

    def _lease(self, node: str, asked: Attributes) -> Decision:
        if asked.namespace != NODE_LEASES:
            return Decision(False, f'node "{node}" has one lease, {NODE_LEASES}/{node}')
        # The name of a new one is in its body, and is asked about again when that has been read.
        if asked.one_name == node or (asked.verb == "create" and not asked.name):
            return Decision(True, _ALLOWED)
        return Decision(False, f'node "{node}" has one lease, {NODE_LEASES}/{node}')


def node_rules() -> list[dict[str, Any]]:
    """What `kubectl auth can-i --list` shows a node: the verbs, without the conditions on names."""
    rules = [{"verbs": sorted(_READ), "apiGroups": [group], "resources": [plural]} for group, plural in sorted(_COMMON)]
    own = NodeRules(_Nothing())._rules
    return rules + [
        {"verbs": sorted(verbs), "apiGroups": [group], "resources": [plural]}
        for (group, plural), (verbs, _) in own.items()
    ]


def _never(node: str, asked: Attributes) -> Decision:
    return Decision(False)


def _narrowed(asked: Attributes, path: str, value: str) -> Decision:
    if any(term.path == path and term.value == value and not term.negated for term in asked.fields.terms):
        return Decision(True, _ALLOWED)
    return Decision(False, f"node {value!r} may list and watch {asked.resource} only with fieldSelector {path}={value}")


class _Nothing:
    """A graph without anything in it."""

    def node_of(self, namespace: str, pod: str) -> str | None:
        return None

    def uses(self, node: str, resource: str, namespace: str, name: str) -> bool:
        return False

    def serves(self, namespace: str, secret: str) -> bool:
        return False

    def volume_of(self, node: str, name: str) -> bool:
        return False

    def leaving_volume_of(self, node: str, name: str) -> bool:
        return False

    def opens(self, node: str, namespace: str, secret: str) -> bool:
        return False

    def attachment_of(self, node: str, name: str) -> bool:
        return False

    def event_from(self, node: str, namespace: str, name: str) -> bool | None:
        return None
