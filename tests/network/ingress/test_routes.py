"""Which request goes where, as values."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.network.ingress.routes import Plan, Secret, plan
from motet.network.ingress.views import IngressView, ServiceView

Json = dict[str, Any]


def path(path: str = "/", service: str = "web", port: Json | None = None, kind: str = "Prefix") -> Json:
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    return {"path": path, "pathType": kind, "backend": backend}


def ingress(host: str, *paths: Json, name: str = "web", age: int = 0, **spec: Any) -> IngressView:
    meta = {"name": name, "namespace": "default", "uid": name, "creationTimestamp": f"2026-01-01T00:00:{30 - age:02}Z"}
    body = {"metadata": meta, "spec": {"rules": [{"host": host, "http": {"paths": list(paths)}}], **spec}}
    return msgspec.convert(body, IngressView)


def service(namespace: str, name: str) -> ServiceView | None:
    addresses = {"web": "10.43.0.5", "api": "10.43.0.6", "headless": "None"}
    if name == "outside":
        return msgspec.convert({"spec": {"type": "ExternalName", "externalName": "example.org"}}, ServiceView)
    if name not in addresses:
        return None
    ports = [{"name": "http", "port": 80}]
    return msgspec.convert({"spec": {"clusterIP": addresses[name], "ports": ports}}, ServiceView)


def order(found: Plan) -> list[tuple[str, str, bool]]:
    return [(route.host, route.path, route.exact) for route in found.routes]


def test_the_more_particular_is_tried_first() -> None:
    found = plan(
        [
            ingress("", path("/")),
            ingress("*.example.com", path("/"), name="wild"),
            ingress("a.example.com", path("/"), path("/api/v1"), path("/api"), path("/api", kind="Exact"), name="a"),
        ],
        service,
    )
    assert order(found) == [
        ("a.example.com", "/api", True),
        ("a.example.com", "/api/v1", False),
        ("a.example.com", "/api", False),
        ("a.example.com", "/", False),
        ("*.example.com", "/", False),
        ("", "/", False),
    ]


def test_the_older_keeps_what_two_claim() -> None:
    young, old = ingress("x.com", path(service="web"), name="y"), ingress("x.com", path(service="api"), name="o", age=9)
    assert [route.target for route in plan([young, old], service).routes] == ["10.43.0.6:80"]


def test_ports_are_found_by_name_and_number() -> None:
    named = plan([ingress("x.com", path(port={"name": "http"}))], service)
    assert named.routes[0].target == "10.43.0.5:80"


def test_what_cannot_be_served_says_why_and_keeps_its_place() -> None:
    found = plan([ingress("x.com", path(service="nobody"), path("/h", service="headless"))], service)
    assert [route.target for route in found.routes] == ["", ""]
    assert [why for _, why in found.complaints] == [
        'service "nobody" not found',
        'service "headless" is headless: an Ingress needs a Service with an address',
    ]


def test_a_missing_port_is_named() -> None:
    found = plan([ingress("x.com", path(port={"number": 81}))], service)
    assert found.complaints[0][1] == 'service "web" has no port 81'


def test_names_outside_can_be_backends() -> None:
    assert plan([ingress("x.com", path(service="outside"))], service).routes[0].target == "example.org:80"


def test_the_default_backend_takes_what_no_rule_takes() -> None:
    backend = {"service": {"name": "api", "port": {"number": 80}}}
    found = plan([ingress("x.com", path("/a"), defaultBackend=backend)], service)
    assert order(found) == [("x.com", "/a", False), ("", "/", False)]


def test_hosts_with_a_certificate_are_known() -> None:
    tls = [{"hosts": ["*.x.com"], "secretName": "cert"}]
    found = plan([ingress("a.x.com", path(), tls=tls), ingress("y.com", path(), name="y")], service)
    assert {route.host: route.secure for route in found.routes} == {"a.x.com": True, "y.com": False}
    assert found.secrets == (Secret("default", "cert"),)
