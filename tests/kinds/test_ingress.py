"""Ingresses and their classes."""

from __future__ import annotations

from typing import Any

import pytest

from motet.kinds import ingress, ingressclass

Json = dict[str, Any]


def backend(name: str = "web", **port: Any) -> Json:
    return {"service": {"name": name, "port": port or {"number": 80}}}


def made(*, spec: Json | None = None, **path: Any) -> Json:
    entry = {"path": "/", "pathType": "Prefix", "backend": backend(), **path}
    rules = [{"host": "example.com", "http": {"paths": [entry]}}]
    return {"metadata": {"name": "web"}, "spec": {"rules": rules} if spec is None else spec}


def complaints(document: Json, old: Json | None = None) -> list[str]:
    return [f"{error.path}: {error.detail}" for error in ingress.validate(document, old)]


def test_an_ordinary_ingress_is_fine() -> None:
    assert complaints(made()) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ({"path": "web"}, "spec.rules[0].http.paths[0].path: must be an absolute path"),
        ({"path": "/a//b"}, "must not contain '//'"),
        ({"path": "/a/.."}, "cannot end with '/..'"),
        ({"pathType": "Regex"}, "spec.rules[0].http.paths[0].pathType: supported values"),
        ({"backend": {}}, "a service or a resource must be named"),
        ({"backend": backend("web", number=70000)}, "service.port.number: must be between 1 and 65535"),
        ({"backend": {"service": {"name": "web"}}}, "port name or number is required"),
        ({"backend": {"service": {"name": "web", "port": {"name": "a", "number": 1}}}}, "cannot set both port name"),
    ],
)
def test_a_path_that_cannot_be_served_is_refused(path: Json, says: str) -> None:
    assert says in "\n".join(complaints(made(**path)))


@pytest.mark.parametrize("host", ["*.example.com", "a.example.com"])
def test_hosts_may_have_one_wildcard(host: str) -> None:
    document = made()
    document["spec"]["rules"][0]["host"] = host
    assert complaints(document) == []


@pytest.mark.parametrize("host", ["10.0.0.1", "*", "a.*.com", "*.*.com"])
def test_other_hosts_are_refused(host: str) -> None:
    document = made()
    document["spec"]["rules"][0]["host"] = host
    assert "spec.rules[0].host" in complaints(document)[0]


def test_something_has_to_be_served() -> None:
    assert "either `defaultBackend` or `rules` must be specified" in complaints(made(spec={}))[0]


def test_a_class_is_named_once() -> None:
    document = made()
    document["metadata"]["annotations"] = {ingress.CLASS_ANNOTATION: "motet"}
    document["spec"]["ingressClassName"] = "motet"
    assert "can not be set when the class field is also set" in complaints(document)[0]


def test_a_class_keeps_its_controller() -> None:
    old = {"spec": {"controller": "motet.dev/ingress"}}
    (error,) = ingressclass.validate({"spec": {"controller": "example.com/other"}}, old)
    assert error.path == "spec.controller"


def test_a_controller_is_a_path_below_a_domain() -> None:
    (error,) = ingressclass.validate({"spec": {"controller": "ours"}}, None)
    assert error.path == "spec.controller"
