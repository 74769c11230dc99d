"""Ingresses with kubectl and plain HTTP clients as the judges."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from e2e.cluster import ADDRESS, until
from e2e.space import WEB, Space, deployment, service
from motet.network.ingress.engine import executable
from network.ingress.pem import certificate

pytestmark = pytest.mark.skipif(not executable(), reason="needs Caddy")
INGRESSES = "networking.k8s.io/v1/ingresses"


def ask(space: Space, host: str, path: str = "/") -> tuple[int, str]:
    def work() -> tuple[int, str]:
        connection = http.client.HTTPConnection(ADDRESS, 80, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Location") or answer.read().decode()
        except OSError as error:
            raise AssertionError(str(error)) from error
        finally:
            connection.close()

    return space.cluster.inside(work)


def answers(space: Space, host: str, code: int, path: str = "/") -> str:
    last: list[tuple[int, str]] = []

    def look() -> bool:
        last.append(ask(space, host, path))
        return last[-1][0] == code

    until(look, what=f"{host}{path} does not answer {code}")
    return last[-1][1]


def serve(space: Space, host: str, **spec: Any) -> None:
    space.apply(deployment("web", 1, WEB), service("web"))
    space.rolled_out("web")
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"name": "http"}}}}
    rules = [{"host": host, "http": {"paths": [path]}}]
    body = {"rules": rules, **spec}
    space.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": body})


def test_a_host_is_served_on_the_node_and_the_node_is_shown(space: Space):
    host = f"{space.namespace}.example.com"
    serve(space, host)
    assert "web-" in answers(space, host, 200)
    answers(space, "elsewhere.example.com", 404)
    space.wait(INGRESSES, "web", lambda found: found["status"]["loadBalancer"]["ingress"] == [{"ip": ADDRESS}])
    assert re.search(rf"web +motet +{host} +{ADDRESS} +80", space.kubectl("get", "ingress"))
    space.kubectl("delete", "ingress", "web")
    until(lambda: _gone(lambda: ask(space, host)), what="still served")


def _gone(call: Callable[[], tuple[int, str]]) -> bool:
    try:
        return call()[0] == 404
    except AssertionError:  # nothing listens any more
        return True


def test_a_certificate_from_a_secret_is_used(space: Space, tmp_path):
    host = f"{space.namespace}.example.com"
    made = certificate(host)
    for name, text in (("crt", made.certificate), ("key", made.key)):
        (tmp_path / name).write_text(text)
    space.kubectl("create", "secret", "tls", "cert", f"--cert={tmp_path / 'crt'}", f"--key={tmp_path / 'key'}")
    serve(space, host, tls=[{"hosts": [host], "secretName": "cert"}])
    assert answers(space, host, 308) == f"https://{host}/"
    context = ssl.create_default_context(cadata=made.certificate)
    assert secure(space, host, context).startswith("v1 web-")


def secure(space: Space, host: str, context: ssl.SSLContext) -> str:
    def work() -> str:
        plain = socket.create_connection((ADDRESS, 443), timeout=5)
        with plain, context.wrap_socket(plain, server_hostname=host) as wrapped:
            wrapped.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            with wrapped.makefile("rb") as answer:
                return answer.read().decode().partition("\r\n\r\n")[2]

    return space.cluster.inside(work)


def test_a_service_that_is_not_there_is_told(space: Space):
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "nobody", "port": {"number": 80}}}}
    host = f"{space.namespace}.example.com"
    spec = {"rules": [{"host": host, "http": {"paths": [path]}}]}
    space.apply({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": spec})
    assert 'service "nobody" not found' in space.event("web", "NotServed")
    answers(space, host, 503)
