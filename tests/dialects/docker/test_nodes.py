"""Nodes in Docker's words."""

from __future__ import annotations

from typing import Any

from motet.dialects.docker.nodes import translate
from motet.store.document import Document, encode

_ADDRESS = "192.0.2.1"


def node(revision: int, labels: dict[str, str], heard: str) -> Document:
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "n1",
            "uid": "00000000-0000-4000-8000-000000000001",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels,
        },
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": heard}]},
    }
    return Document.stored("core/nodes//n1", encode(body), revision)


def version(*given: Any) -> int:
    return int(translate(node(*given), _ADDRESS, 6443, {})["Version"]["Index"])


def test_a_heartbeat_makes_no_new_version_and_a_label_does() -> None:
    before = version(1, {"disk": "ssd"}, "2026-01-01T00:00:00Z")
    assert version(2, {"disk": "ssd"}, "2026-01-01T00:00:10Z") == before
    assert version(3, {"disk": "hdd"}, "2026-01-01T00:00:20Z") != before
