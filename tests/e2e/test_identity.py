"""Who may: nobody without a certificate, and a node only what is its own."""

import http.client
import json
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.space import Space
from motet.identity.authority import Authority


def ask(
    cluster: Cluster, path: str, ca: Path, pair: tuple[Path, Path] | None, method: str = "GET"
) -> tuple[int, dict[str, object]]:
    context = ssl.create_default_context(cafile=str(ca))
    if pair:
        context.load_cert_chain(*pair)

    def request() -> tuple[int, bytes]:
        port = cluster.settings.port
        with closing(http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    status, body = cluster.inside(request)
    return status, json.loads(body)


def test_nobody_gets_in_without_a_certificate(cluster: Cluster):
    ca = cluster.machine.pki / "ca.crt"
    for path in ("/api/v1/pods", "/api/v1/namespaces/default/secrets", "/apis"):
        status, answer = ask(cluster, path, ca, None)
        assert (status, answer["kind"], answer["reason"]) == (401, "Status", "Unauthorized")


def test_a_certificate_of_somebody_else_does_not_help(cluster: Cluster, tmp_path):
    stranger = Authority.create(tmp_path / "ca")
    pair = stranger.issue("admin", ("system:masters",)).write(tmp_path, "fake")
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask(cluster, "/api/v1/pods", cluster.machine.pki / "ca.crt", pair)
    (tmp_path / "other.crt").write_bytes(stranger.pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(cluster, "/api/v1/pods", tmp_path / "other.crt", None)


def test_a_node_reads_only_what_its_pods_need(cluster: Cluster, space: Space):
    space.kubectl("create", "secret", "generic", "foreign", "--from-literal=a=b")
    pair = (cluster.machine.node_pki / "node.pem", cluster.machine.node_pki / "node.pem")
    ca = cluster.machine.node_pki / "ca.crt"
    node = cluster.settings.node_name
    allowed = ask(cluster, f"/api/v1/nodes/{node}", ca, pair)
    assert allowed[0] == 200
    for method, path in (
        ("GET", f"/api/v1/namespaces/{space.namespace}/secrets/foreign"),
        ("GET", "/api/v1/secrets"),
        ("GET", "/apis/apps/v1/deployments"),
        ("DELETE", f"/api/v1/namespaces/{space.namespace}"),
        ("DELETE", "/api/v1/nodes/other"),
    ):
        status, answer = ask(cluster, path, ca, pair, method)
        assert (status, answer["reason"]) == (403, "Forbidden"), path


def test_keys_are_for_root_only(cluster: Cluster):
    own = (cluster.machine.pki, cluster.machine.node_pki)  # keys elsewhere are inside images
    keys = [key for directory in own for pattern in ("*.key", "node.pem") for key in directory.rglob(pattern)]
    assert keys
    for key in keys:
        assert key.stat().st_mode & 0o077 == 0, key
    assert cluster.machine.kubeconfig.stat().st_mode & 0o077 == 0
