"""What the docker command line says when it talks to Motet, word for word."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dialects.docker import transcript
from dialects.docker.conftest import Manager
from motet.kinds import node as node_kind

NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}},
    # Nobody is there to end the pods that would be bound to it.
    "spec": {"taints": [{"key": "example.com/nobody", "effect": "NoSchedule"}]},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": "n1"}],
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/gpu": "2"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {
            "architecture": "amd64",
            "operatingSystem": "linux",
            "kubeletVersion": "v1",
            "osImage": "Debian",
            "kernelVersion": "6.1",
            "containerRuntimeVersion": "containerd://1",
            "bootID": "b",
            "machineID": "m",
            "systemUUID": "s",
            "kubeProxyVersion": "",
        },
    },
}


@pytest.mark.parametrize(
    "name", ["secrets", "networks", "services", "swarm", "events", "containers", "stacks", "manager"]
)
def test_the_conversation_is_the_one_written_down(name: str, docker: Path, manager: Manager, tmp_path: Path) -> None:
    manager.make((node_kind.KIND, NODE))
    transcript.check(docker, name, manager.host, tmp_path)


def test_the_conversation_with_a_manager_that_is_a_node(docker: Path, manager: Manager, tmp_path: Path) -> None:
    own = deepcopy(NODE)
    own["metadata"] = {"name": "m1", "labels": {"kubernetes.io/hostname": "m1"}}
    # It has no room for any pod: nobody is there to end them.
    own["spec"] = {}
    own["status"]["addresses"] = [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": "m1"}]
    own["status"]["capacity"]["pods"] = "0"
    manager.make((node_kind.KIND, NODE), (node_kind.KIND, own))
    try:
        transcript.check(docker, "membership", manager.host, tmp_path, {"ADDRESS": f"127.0.0.1:{manager.port}"})
    finally:
        manager.remove(node_kind.KIND, "m1")


def test_owners_of_certificates_come_by_tls(docker: Path, manager: Manager, tmp_path: Path) -> None:
    pki = manager.machine.pki
    keys = f"--tlscacert {pki}/ca.crt --tlscert {pki}/admin.crt --tlskey {pki}/admin.key"
    host = f"tcp://127.0.0.1:{manager.docker_port}"
    assert transcript.run(docker, f"docker --tlsverify {keys} config ls -q", host, tmp_path) == ""


def test_nobody_comes_by_tls_without_a_certificate(docker: Path, manager: Manager, tmp_path: Path) -> None:
    host = f"tcp://127.0.0.1:{manager.docker_port}"
    said = transcript.run(docker, f"docker --tlscacert {manager.machine.pki}/ca.crt --tls config ls", host, tmp_path)
    assert "certificate" in said
