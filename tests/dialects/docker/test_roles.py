"""What the owner of a certificate may do by Docker's API is what roles say of them, and what is refused is said as Docker says it."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

import pytest

from dialects.docker import transcript
from dialects.docker.conftest import Manager
from motet.identity.authority import NODE_GROUP, NODE_USER_PREFIX, Authority
from motet.kinds.rbac import GROUP, role, rolebinding


@pytest.fixture
def reader(manager: Manager, tmp_path: Path) -> tuple[Path, Path]:
    """Certificate and key of somebody who may look at services, and at nothing else."""
    allowed = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Role",
        "metadata": {"name": "sees-services", "namespace": "default"},
        "rules": [
            {"apiGroups": ["motet.dev"], "resources": ["apps"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["get", "list"]},
        ],
    }
    binding = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "sees-services", "namespace": "default"},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "rita"}],
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "sees-services"},
    }
    manager.make((role.KIND, allowed), (rolebinding.KIND, binding))
    return Authority.load(manager.machine.pki).issue("rita").write(tmp_path, "rita")


def flags(manager: Manager, pair: tuple[Path, Path]) -> str:
    certificate, key = pair
    return f"--tlsverify --tlscacert {manager.machine.pki}/ca.crt --tlscert {certificate} --tlskey {key}"


def asked(manager: Manager, pair: tuple[Path, Path], method: str, path: str, body: object = None) -> tuple[int, object]:
    """Status and body of an answer."""
    context = ssl.create_default_context(cafile=str(manager.machine.pki / "ca.crt"))
    context.load_cert_chain(*pair)
    connection = http.client.HTTPSConnection("127.0.0.1", manager.docker_port, context=context, timeout=30)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_role_lets_a_docker_client_do_one_thing_and_no_other(
    docker: Path, manager: Manager, reader: tuple[Path, Path], tmp_path: Path
) -> None:
    host, keys = f"tcp://127.0.0.1:{manager.docker_port}", flags(manager, reader)
    assert transcript.run(docker, f"docker {keys} service ls -q --filter name=nobody", host, tmp_path) == ""
    said = transcript.run(docker, f"docker {keys} secret ls", host, tmp_path)
    assert said == (
        'Error response from daemon: secrets is forbidden: User "rita" cannot list resource "secrets" in API group "" '
        'in the namespace "default"\n'
    )
    said = transcript.run(docker, f"docker {keys} service create --detach --name mine busybox:1", host, tmp_path)
    assert 'User "rita" cannot create resource "apps" in API group "motet.dev"' in said


def test_what_a_role_does_not_allow_is_forbidden_in_dockers_shape(manager: Manager, reader: tuple[Path, Path]) -> None:
    status, body = asked(manager, reader, "GET", "/v1.41/services")
    assert status == 200
    assert isinstance(body, list)
    status, body = asked(manager, reader, "GET", "/v1.41/secrets")
    assert status == 403
    assert isinstance(body, dict)
    assert list(body) == ["message"]
    assert "forbidden" in body["message"]
    status, _ = asked(manager, reader, "POST", "/v1.41/networks/create", {"Name": "mine"})
    assert status == 403


def test_a_node_is_refused_whatever_it_asks_for(manager: Manager, tmp_path: Path) -> None:
    authority = Authority.load(manager.machine.pki)
    node = authority.issue(f"{NODE_USER_PREFIX}n1", (NODE_GROUP,)).write(tmp_path, "node")
    for path in ("/_ping", "/v1.41/services", "/v1.41/nodes"):
        assert asked(manager, node, "GET", path) == (403, {"message": "nodes have no business with the Docker API"})
