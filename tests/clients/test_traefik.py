"""Traefik as it was released, as the ingress controller of a class of its own. `make clients` runs this."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from pathlib import Path

import pytest

from e2e.cluster import ADDRESS, IMAGE, Json, until
from e2e.space import WEB, Space, deployment, service
from network.ingress.pem import certificate

TRAEFIK = os.environ.get("TRAEFIK", "")
pytestmark = pytest.mark.skipif(not TRAEFIK, reason="make clients installs Traefik")
INGRESSES = "networking.k8s.io/v1/ingresses"
PLAIN, SECURE = 8081, 8444


def controller(space: Space) -> list[Json]:
    """Traefik with the rights its documentation asks for; the program itself is bound in from the machine."""
    name = f"traefik-{space.namespace}"
    read = ["get", "list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "secrets", "nodes"], "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "ingressclasses"], "verbs": read},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses/status"], "verbs": ["update"]},
    ]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}}
    account = {"kind": "ServiceAccount", "name": "traefik", "namespace": space.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    options = (
        "entrypoints.web.address=:8000",
        "entrypoints.websecure.address=:8443",
        "entrypoints.websecure.http.tls=true",
        "providers.kubernetesingress=true",
        f"providers.kubernetesingress.ingressendpoint.publishedservice={space.namespace}/traefik",
        "global.checknewversion=false",
        "global.sendanonymoususage=false",
        "ping=true",
    )
    program = {
        "name": "traefik",
        "image": IMAGE,
        "command": ["/traefik/traefik", *(f"--{option}" for option in options)],
        "volumeMounts": [{"name": "program", "mountPath": "/traefik", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": 8080}, "periodSeconds": 1},
    }
    volumes = [{"name": "program", "hostPath": {"path": str(Path(TRAEFIK).parent)}}]
    ports = [
        {"name": "web", "port": PLAIN, "targetPort": 8000},
        {"name": "websecure", "port": SECURE, "targetPort": 8443},
    ]
    class_ = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "traefik"}},
        {**rbac, "kind": "ClusterRole", "rules": rules},
        {**rbac, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [account]},
        {**class_, "spec": {"controller": "traefik.io/ingress-controller"}},
        deployment("traefik", 1, program, volumes=volumes, serviceAccountName="traefik"),
        service("traefik", type="LoadBalancer", ports=ports),
    ]


def ask(space: Space, host: str, path: str = "/", authority: str = "") -> tuple[int, str]:
    """Code and body of a GET; by TLS, as that host, when an authority to trust is named."""

    def work() -> tuple[int, str]:
        connection = http.client.HTTPConnection(ADDRESS, SECURE if authority else PLAIN, timeout=5)
        try:
            if authority:
                context = ssl.create_default_context(cadata=authority)
                raw = socket.create_connection((ADDRESS, SECURE), timeout=5)
                connection.sock = context.wrap_socket(raw, server_hostname=host)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            raise AssertionError(str(error)) from error
        finally:
            connection.close()

    return space.cluster.inside(work)


def answers(space: Space, code: int, host: str, path: str = "/", authority: str = "") -> str:
    """The body, as soon as the code is that one."""
    told: list[tuple[int, str]] = []

    def look() -> bool:
        told.append(ask(space, host, path, authority))
        assert told[-1][0] == code, f"{host}{path} answers {told[-1]}"
        return True

    until(look)
    return told[-1][1]


def test_traefik_serves_the_ingresses_of_its_class(space: Space, tmp_path: Path) -> None:
    made = controller(space)
    host = f"shop.{space.namespace}.example"
    pair = certificate(host)
    for name, text in (("crt", pair.certificate), ("key", pair.key)):
        (tmp_path / name).write_text(text)
    space.kubectl("create", "secret", "tls", "shop", f"--cert={tmp_path / 'crt'}", f"--key={tmp_path / 'key'}")
    try:
        space.apply(*made, deployment("web", 1, WEB), service("web"))
        rule = f"--rule={host}/index.html=web:80,tls=shop"
        space.kubectl("create", "ingress", "shop", f"--class=traefik-{space.namespace}", rule)
        space.rolled_out("web")
        space.rolled_out("traefik")
        page = "/index.html"
        assert answers(space, 200, host, page).startswith("v1 web-")
        assert answers(space, 200, host, page, pair.certificate).startswith("v1 web-")
        answers(space, 404, host, "/")
        answers(space, 404, f"other.{host}", page)
        space.wait(INGRESSES, "shop", lambda found: found["status"]["loadBalancer"]["ingress"] == [{"ip": ADDRESS}])
        # Endpoints and rules change while it watches.
        space.kubectl("set", "env", "deployment/web", "VERSION=v2")
        until(lambda: ask(space, host, page)[1].startswith("v2 web-"), what="the old pod still answers")
        space.kubectl("delete", "ingress", "shop")
        answers(space, 404, host, page)
    finally:
        for each in made[1:4]:
            space.kubectl("delete", each["kind"], each["metadata"]["name"])
