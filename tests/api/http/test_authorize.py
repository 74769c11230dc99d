"""Who may do what, decided by names and the object graph alone."""

from __future__ import annotations

import itertools

import pytest

from motet.api.http.authorize import Attributes, Roles, refusal
from motet.api.rbac import policy
from motet.api.rbac.index import RbacIndex
from motet.api.users import User
from motet.base.selectors import parse, parse_fields
from motet.kinds.catalogue import KINDS
from motet.kinds.rbac import GROUP
from motet.store.document import Document, Key, encode
from motet.store.table import Table

ADMIN = User("admin", ("system:masters", "system:authenticated"))
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
NOBODY = User("eve", ("system:authenticated",))
LEASES = {"group": "coordination.k8s.io", "resource": "leases", "namespace": "kube-node-lease"}
ATTACHMENTS = {"group": "storage.k8s.io", "resource": "volumeattachments"}
CSI_NODES = {"group": "storage.k8s.io", "resource": "csinodes"}


class Graph:
    """Pod a/mine runs on n1 and uses everything named `used`; a/other runs on n2; a/unbound nowhere."""

    def node_of(self, namespace: str, pod: str) -> str | None:
        return {"mine": "n1", "other": "n2", "unbound": ""}.get(pod)

    def uses(self, node: str, resource: str, namespace: str, name: str) -> bool:
        return (node, namespace, name) == ("n1", "a", "used")

    def serves(self, namespace: str, secret: str) -> bool:
        return (namespace, secret) == ("a", "certificate")

    def opens(self, node: str, namespace: str, secret: str) -> bool:
        return (node, namespace, secret) == ("n1", "a", "opening")

    def attachment_of(self, node: str, name: str) -> bool:
        return (node, name) == ("n1", "used")

    def volume_of(self, node: str, name: str) -> bool:
        return (node, name) in (("n1", "used"), ("n1", "leaving"))

    def leaving_volume_of(self, node: str, name: str) -> bool:
        return (node, name) == ("n1", "leaving")

    def event_from(self, node: str, namespace: str, name: str) -> bool | None:
        return {"mine": True, "other": False}.get(name)


@pytest.fixture
def roles() -> Roles:
    tables = {kind.resource: Table(kind.resource) for kind in KINDS}
    index = RbacIndex(tables.__getitem__)
    for number, document in enumerate((*policy.cluster_roles(), *policy.cluster_bindings()), 1):
        resource = f"{GROUP}/{document['kind'].lower()}s"
        key = Key(resource, "", document["metadata"]["name"])
        tables[resource].apply(key, Document(key, encode(document), number), number)
    return Roles(Graph(), index)


def ask(**asked: str) -> Attributes:
    fields, labels = asked.pop("fields", ""), asked.pop("labels", "")
    return Attributes(fields=parse_fields(fields), labels=parse(labels), **asked)  # type: ignore[arg-type]


def allowed(roles: Roles, user: User, **asked: str) -> bool:
    return roles.decide(user, ask(**asked)).allowed


def test_administrators_may_do_everything(roles: Roles) -> None:
    assert allowed(roles, ADMIN, verb="delete", resource="nodes", name="n1")
    assert allowed(roles, ADMIN, verb="get", path="/metrics")


def test_everyone_may_discover_but_not_read_metrics(roles: Roles) -> None:
    assert allowed(roles, NOBODY, verb="get", path="/apis/apps/v1")
    assert allowed(roles, NOBODY, verb="get", path="/version")
    assert not allowed(roles, NOBODY, verb="get", path="/metrics")
    assert not allowed(roles, NOBODY, verb="get", path="/apiserver")


def test_everyone_may_ask_what_they_may_do(roles: Roles) -> None:
    assert allowed(roles, NOBODY, verb="create", group="authorization.k8s.io", resource="selfsubjectaccessreviews")
    assert not allowed(roles, NOBODY, verb="create", group="authorization.k8s.io", resource="subjectaccessreviews")


def test_a_stranger_may_nothing_else(roles: Roles) -> None:
    assert not allowed(roles, NOBODY, verb="list", resource="pods", namespace="default")


# Everything a node may do, of all that can be asked in `everything`.
MAY = (
    {"verb": "get", "resource": "pods", "namespace": "a", "name": "mine"},
    {"verb": "watch", "resource": "pods", "namespace": "a", "name": "mine"},
    {"verb": "list", "resource": "pods", "fields": "spec.nodeName=n1"},
    {"verb": "watch", "resource": "pods", "fields": "spec.nodeName=n1,status.phase!=Failed"},
    {"verb": "delete", "resource": "pods", "namespace": "a", "name": "mine"},
    {"verb": "patch", "resource": "pods", "subresource": "status", "namespace": "a", "name": "mine"},
    {"verb": "create", "resource": "pods", "subresource": "eviction", "namespace": "a", "name": "mine"},
    {"verb": "get", "resource": "secrets", "namespace": "a", "name": "used"},
    {"verb": "get", "resource": "secrets", "namespace": "a", "name": "certificate"},
    {"verb": "get", "resource": "secrets", "namespace": "a", "name": "opening"},
    {"verb": "watch", "resource": "secrets", "namespace": "a", "fields": "metadata.name=used"},
    {"verb": "list", "resource": "configmaps", "namespace": "a", "fields": "metadata.name=used"},
    {"verb": "get", "resource": "persistentvolumeclaims", "namespace": "a", "name": "used"},
    {"verb": "patch", "resource": "persistentvolumeclaims", "subresource": "status", "namespace": "a", "name": "used"},
    {"verb": "get", **ATTACHMENTS, "name": "used"},
    {"verb": "create", **CSI_NODES, "name": "n1"},
    {"verb": "delete", **CSI_NODES, "name": "n1"},
    {"verb": "create", "resource": "serviceaccounts", "subresource": "token", "namespace": "a", "name": "used"},
    {"verb": "get", "resource": "persistentvolumes", "name": "used"},
    {"verb": "list", "resource": "persistentvolumes", "labels": "motet.dev/node=n1"},
    {"verb": "watch", "resource": "persistentvolumes", "labels": "motet.dev/node in (n1)"},
    {"verb": "patch", "resource": "persistentvolumes", "name": "leaving"},
    {"verb": "patch", "resource": "nodes", "name": "n1"},
    {"verb": "patch", "resource": "nodes", "subresource": "status", "name": "n1"},
    {"verb": "create", "resource": "events", "namespace": "a"},
    {"verb": "patch", "resource": "events", "namespace": "a", "name": "mine"},
    {"verb": "update", **LEASES, "name": "n1"},
    {"verb": "create", **LEASES, "name": "n1"},
    {"verb": "watch", "group": "discovery.k8s.io", "resource": "endpointslices"},
    {"verb": "list", "resource": "services"},
    {"verb": "list", "resource": "nodes"},
)


@pytest.mark.parametrize("asked", MAY, ids=str)
def test_a_node_may_read_what_its_pods_use_and_write_about_itself(roles: Roles, asked: dict[str, str]) -> None:
    assert allowed(roles, NODE, **asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"verb": "get", "resource": "pods", "namespace": "a", "name": "other"},
        {"verb": "watch", "resource": "pods", "namespace": "a", "name": "other"},
        {"verb": "get", "resource": "pods", "namespace": "a", "name": "unbound"},
        {"verb": "list", "resource": "pods"},
        {"verb": "list", "resource": "pods", "namespace": "a"},
        {"verb": "list", "resource": "pods", "fields": "spec.nodeName=n2"},
        {"verb": "list", "resource": "pods", "fields": "spec.nodeName!=n1"},
        {"verb": "list", "resource": "pods", "fields": "metadata.name=mine"},
        {"verb": "delete", "resource": "pods", "namespace": "a", "name": "other"},
        {"verb": "deletecollection", "resource": "pods", "namespace": "a"},
        {"verb": "patch", "resource": "pods", "namespace": "a", "name": "mine"},
        {"verb": "patch", "resource": "pods", "subresource": "status", "namespace": "a", "name": "unbound"},
        {"verb": "create", "resource": "pods", "subresource": "exec", "namespace": "a", "name": "mine"},
        {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "a", "name": "mine"},
        {"verb": "create", "resource": "pods", "subresource": "binding", "namespace": "a", "name": "mine"},
        {"verb": "get", "resource": "secrets", "namespace": "a", "name": "unused"},
        {"verb": "get", "resource": "secrets", "namespace": "b", "name": "used"},
        {"verb": "watch", "resource": "secrets", "namespace": "a", "fields": "metadata.name=certificate"},
        {"verb": "get", "resource": "secrets", "namespace": "b", "name": "opening"},
        {"verb": "patch", "resource": "secrets", "namespace": "a", "name": "opening"},
        {"verb": "list", "resource": "secrets"},
        {"verb": "list", "resource": "secrets", "fields": "metadata.name=used"},
        {"verb": "list", "resource": "secrets", "namespace": "a", "fields": "metadata.name!=used"},
        {"verb": "watch", "resource": "secrets", "namespace": "a", "labels": "name=used"},
        {"verb": "patch", "resource": "secrets", "namespace": "a", "name": "used"},
        {"verb": "patch", "resource": "persistentvolumeclaims", "namespace": "a", "name": "used"},
        {
            "verb": "patch",
            "resource": "persistentvolumeclaims",
            "subresource": "status",
            "namespace": "a",
            "name": "unused",
        },
        {"verb": "get", **ATTACHMENTS, "name": "unused"},
        {"verb": "list", **ATTACHMENTS},
        {"verb": "create", **ATTACHMENTS, "name": "used"},
        {"verb": "patch", **ATTACHMENTS, "subresource": "status", "name": "used"},
        {"verb": "patch", **CSI_NODES, "name": "n2"},
        {"verb": "delete", **CSI_NODES, "name": "n2"},
        {"verb": "list", "resource": "persistentvolumes"},
        {"verb": "list", "resource": "persistentvolumes", "labels": "motet.dev/node!=n1"},
        {"verb": "list", "resource": "persistentvolumes", "labels": "motet.dev/node in (n1,n2)"},
        {"verb": "get", "resource": "persistentvolumes", "name": "unused"},
        {"verb": "patch", "resource": "persistentvolumes", "name": "used"},
        {"verb": "create", "resource": "nodes"},
        {"verb": "create", "resource": "nodes", "name": "n1"},
        {"verb": "delete", "resource": "nodes", "name": "n1"},
        {"verb": "patch", "resource": "nodes", "name": "n2"},
        {"verb": "patch", "resource": "nodes", "subresource": "status", "name": "n2"},
        {"verb": "patch", "resource": "events", "namespace": "a", "name": "other"},
        {"verb": "list", "resource": "events"},
        {"verb": "update", **LEASES, "name": "n2"},
        {"verb": "list", **LEASES},
        {"verb": "get", **LEASES, "namespace": "kube-system", "name": "n1"},
    ],
    ids=str,
)
def test_a_node_may_not_go_beyond(roles: Roles, asked: dict[str, str]) -> None:
    assert not allowed(roles, NODE, **asked)


def test_of_everything_that_can_be_asked_a_node_may_only_what_is_listed(roles: Roles) -> None:
    """Every kind, verb and name, without selectors: what is allowed is in the list above or read by all."""
    common = {
        "namespaces",
        "nodes",
        "services",
        "endpoints",
        "endpointslices",
        "ingressclasses",
        "ingresses",
        "networkpolicies",
        "csidrivers",
        "storageclasses",
        "runtimeclasses",
        "networks",
        "podaddresses",
    }
    own = {"pods", "secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts", "events"}
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate")
    for kind, verb, name in itertools.product(KINDS, verbs, ("", "n1", "mine", "used", "other", "n2", "leaving")):
        for subresource in ("", "status", *kind.subresources):
            asked = ask(
                verb=verb, group=kind.group, resource=kind.plural, subresource=subresource, namespace="a", name=name
            )
            if not roles.decide(NODE, asked).allowed:
                continue
            reading = verb in ("get", "list", "watch")
            assert (
                (reading and kind.plural in common and not subresource)
                or (kind.plural in own and name in ("mine", "used", "leaving"))
                or (kind.plural == "events" and verb == "create")
                # Which pods, NodeRestriction says.
                or (kind.plural == "pods" and verb == "create" and not subresource)
                or (kind.plural == "nodes" and name == "n1")
                # Whose a new one is, is asked again when its name has been read.
                or (kind.plural == "csinodes" and not subresource and (name == "n1" or (verb == "create" and not name)))
                or (kind.plural == "volumeattachments" and verb == "get" and name == "used")
            ), asked


def test_a_pod_that_does_not_exist_is_missing_and_not_forbidden(roles: Roles) -> None:
    asked = ask(verb="patch", resource="pods", subresource="status", namespace="a", name="gone")
    assert roles.decide(NODE, asked).missing


def test_the_refusal_is_in_upstreams_words() -> None:
    error = refusal(NOBODY, Attributes("list", resource="pods", namespace="default"), "")
    assert error.message == (
        'pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    error = refusal(NOBODY, Attributes("delete", "apps", "deployments", name="web", namespace="a"), "")
    assert error.message == (
        'deployments.apps "web" is forbidden: User "eve" cannot delete resource "deployments" in API group "apps" '
        'in the namespace "a"'
    )
    assert error.details == {"name": "web", "group": "apps", "kind": "deployments"}
