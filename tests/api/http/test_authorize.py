import pytest

from motet.api.http.authorize import Attributes, Roles, refusal
from motet.api.users import User

ADMIN = User("admin", ("system:masters", "system:authenticated"))
NODE = User("system:node:n1", ("system:nodes", "system:authenticated"))
NOBODY = User("eve", ("system:authenticated",))


@pytest.fixture
def roles() -> Roles:
    return Roles(lambda namespace, pod: {"mine": "n1", "other": "n2"}.get(pod, ""))


def allowed(roles: Roles, user: User, **asked: str) -> bool:
    return roles.decide(user, Attributes(**asked)).allowed  # type: ignore[arg-type]


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


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"verb": "watch", "resource": "pods"}, True),
        ({"verb": "list", "group": "discovery.k8s.io", "resource": "endpointslices"}, True),
        ({"verb": "create", "resource": "pods", "namespace": "default"}, False),
        ({"verb": "create", "resource": "pods", "subresource": "exec", "namespace": "default", "name": "mine"}, False),
        ({"verb": "patch", "resource": "nodes", "subresource": "status", "name": "n1"}, True),
        ({"verb": "patch", "resource": "nodes", "subresource": "status", "name": "n2"}, False),
        ({"verb": "create", "resource": "nodes"}, True),
        ({"verb": "create", "resource": "nodes", "name": "n2"}, False),
        ({"verb": "delete", "resource": "nodes", "name": "n1"}, False),
        ({"verb": "patch", "resource": "pods", "subresource": "status", "namespace": "a", "name": "mine"}, True),
        ({"verb": "patch", "resource": "pods", "subresource": "status", "namespace": "a", "name": "other"}, False),
        ({"verb": "delete", "resource": "pods", "namespace": "a", "name": "mine"}, True),
        ({"verb": "delete", "resource": "pods", "namespace": "a", "name": "other"}, False),
        ({"verb": "delete", "resource": "pods", "namespace": "a"}, False),
        (
            {
                "verb": "update",
                "group": "coordination.k8s.io",
                "resource": "leases",
                "namespace": "kube-node-lease",
                "name": "n1",
            },
            True,
        ),
        (
            {
                "verb": "update",
                "group": "coordination.k8s.io",
                "resource": "leases",
                "namespace": "kube-node-lease",
                "name": "n2",
            },
            False,
        ),
        (
            {
                "verb": "get",
                "group": "coordination.k8s.io",
                "resource": "leases",
                "namespace": "kube-system",
                "name": "n1",
            },
            False,
        ),
        ({"verb": "patch", "resource": "secrets", "namespace": "a", "name": "s"}, False),
    ],
)
def test_a_node_may_read_what_it_runs_and_write_about_itself(
    roles: Roles, asked: dict[str, str], expected: bool
) -> None:
    assert allowed(roles, NODE, **asked) is expected


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
