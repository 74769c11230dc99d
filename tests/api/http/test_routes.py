import pytest

from motet.api.http import routes
from motet.base.errors import MethodNotAllowed


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("", "v1", "", "pods", "", "")),
        ("/api/v1/namespaces/a/pods", ("", "v1", "a", "pods", "", "")),
        ("/api/v1/namespaces/a/pods/b/", ("", "v1", "a", "pods", "b", "")),
        ("/api/v1/namespaces/a/pods/b/log", ("", "v1", "a", "pods", "b", "log")),
        ("/api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/a", ("", "v1", "a", "namespaces", "a", "")),
        ("/api/v1/namespaces/a/finalize", ("", "v1", "a", "namespaces", "a", "finalize")),
        ("/api/v1/namespaces/a/status", ("", "v1", "a", "namespaces", "a", "status")),
        ("/api/v1/nodes/n1/status", ("", "v1", "", "nodes", "n1", "status")),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", ("apps", "v1", "a", "deployments", "b", "scale")),
    ],
)
def test_a_resource_path_is_taken_apart(path: str, expected: tuple[str, ...]) -> None:
    target = routes.parse(path)
    found = (target.group, target.version, target.namespace, target.plural, target.name, target.subresource)
    assert found == expected


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/api/v1", "/apis/apps/v1/", "/version/", "/openapi/v3/apis/apps/v1"]
)
def test_other_paths_are_about_no_resource(path: str) -> None:
    assert not routes.parse(path).is_resource


def test_a_name_is_percent_decoded() -> None:
    assert routes.parse("/api/v1/nodes/a%3Ab").name == "a:b"


def test_an_escaped_slash_is_in_no_name() -> None:
    assert not routes.parse("/api/v1/nodes/a%2Fstatus").is_resource


@pytest.mark.parametrize(
    ("method", "path", "watch", "expected"),
    [
        ("GET", "/api/v1/pods", False, "list"),
        ("GET", "/api/v1/pods", True, "watch"),
        ("GET", "/api/v1/watch/pods", False, "watch"),
        ("GET", "/api/v1/nodes/a", False, "get"),
        ("DELETE", "/api/v1/nodes/a", False, "delete"),
        ("DELETE", "/api/v1/nodes", False, "deletecollection"),
        ("POST", "/api/v1/nodes", False, "create"),
    ],
)
def test_method_and_path_make_the_verb(method: str, path: str, watch: bool, expected: str) -> None:
    assert routes.verb(method, routes.parse(path), watch) == expected


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(MethodNotAllowed):
        routes.verb("BREW", routes.parse("/api/v1/pods"), False)


@pytest.mark.parametrize(
    ("path", "beyond"),
    [
        ("/api/v1/namespaces/a/pods/b:80/proxy", ""),
        ("/api/v1/namespaces/a/pods/b:80/proxy/", "/"),
        ("/api/v1/namespaces/a/services/https:b:/proxy/x%2Fy/?z", "/x%2Fy/?z"),
        ("/api/v1/nodes/n1/proxy/logs/", "/logs/"),
    ],
)
def test_what_follows_a_proxy_is_kept_as_it_came(path: str, beyond: str) -> None:
    target = routes.parse(path)
    assert (target.subresource, target.beyond) == ("proxy", beyond)


def test_a_proxied_method_is_a_verb_on_the_subresource() -> None:
    target = routes.parse("/api/v1/nodes/n1/proxy/x")
    verbs = [routes.verb(method, target, watch=True) for method in ("GET", "DELETE", "OPTIONS", "POST")]
    assert verbs == ["get", "delete", "get", "create"]
