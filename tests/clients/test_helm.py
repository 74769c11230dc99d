"""Helm's own starter chart through its life: installed, upgraded, tested, rolled back, uninstalled. `make clients` runs this."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import IMAGE
from e2e.space import Space

HELM = os.environ.get("HELM", "")
pytestmark = pytest.mark.skipif(not HELM, reason="make clients installs Helm")
REPOSITORY, _, TAG = IMAGE.rpartition(":")


@pytest.fixture
def chart(space: Space, tmp_path: Path) -> Path:
    helm(space, "create", str(tmp_path / "web"))
    # The chart's test asks with wget; the image has that too.
    test = tmp_path / "web/templates/tests/test-connection.yaml"
    test.write_text(test.read_text().replace("image: busybox", f"image: {IMAGE}"))
    values = {
        "image": {"repository": REPOSITORY, "tag": TAG},
        "service": {"type": "ClusterIP", "port": 8080},
        "livenessProbe": {"httpGet": {"path": "/", "port": "http"}},
        "ingress": {"enabled": True},
        "resources": {"limits": {"memory": "64Mi"}},
        "podSecurityContext": {"fsGroup": 2000},
    }
    (tmp_path / "values.json").write_text(json.dumps(values))
    deployment = tmp_path / "web/templates/deployment.yaml"
    command = '          command: [sh, -c, "echo served > /www/index.html; exec httpd -f -p 8080 -h /www"]\n'
    image = "          image: "
    before, found, after = deployment.read_text().partition(image)
    assert found
    deployment.write_text(before + command + found + after)
    return tmp_path / "web"


def helm(space: Space, *words: str) -> str:
    done = space.cluster.run(HELM, *words, "-n", space.namespace, timeout=120)
    return done.stdout


def listed(space: Space, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(helm(space, *words, "-o", "json"))
    return found


def test_a_chart_lives_its_whole_life(space: Space, chart: Path) -> None:
    values = ("-f", str(chart.with_name("values.json")), "--wait", "--timeout", "90s")
    helm(space, "install", "shop", str(chart), *values)
    assert [(each["name"], each["status"]) for each in listed(space, "list")] == [("shop", "deployed")]
    assert "shop-web" in space.kubectl("get", "deployment,service,ingress,serviceaccount", "-o", "name")
    helm(space, "upgrade", "shop", str(chart), *values, "--set", "replicaCount=2")
    assert len(space.pods("app.kubernetes.io/instance=shop")) == 2
    assert "Succeeded" in helm(space, "test", "shop", "--timeout", "60s")
    helm(space, "rollback", "shop", "1", "--wait", "--timeout", "90s")
    space.wait("apps/v1/deployments", "shop-web", lambda found: found["status"].get("replicas") == 1)
    assert [each["status"] for each in listed(space, "history", "shop")] == ["superseded", "superseded", "deployed"]
    helm(space, "uninstall", "shop", "--wait", "--timeout", "90s")
    assert space.kubectl("get", "deployment,service,ingress", "-o", "name") == ""


def test_a_second_manager_of_a_field_is_told_who_has_it(space: Space, chart: Path) -> None:
    values = ("-f", str(chart.with_name("values.json")), "--wait", "--timeout", "90s")
    helm(space, "install", "shop", str(chart), *values)
    space.kubectl("scale", "deployment", "shop-web", "--replicas=3")
    done = space.cluster.run(
        HELM, "upgrade", "shop", str(chart), *values, "--set", "replicaCount=2", "-n", space.namespace, check=False
    )
    assert done.returncode != 0
    assert ".spec.replicas" in done.stderr
