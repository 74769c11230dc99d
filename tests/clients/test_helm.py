"""Helm's own starter chart through its life: installed, upgraded, tested, rolled back, uninstalled. `make clients` runs this.

The chart is as `helm create` writes it; values alone say which image to run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import IMAGE, Cluster
from e2e.space import Space
from support.images import busybox_image

HELM = os.environ.get("HELM", "")
pytestmark = pytest.mark.skipif(not HELM, reason="make clients installs Helm")
SERVER = "localhost/motet-test/served"
WAIT = ("--wait", "--timeout", "90s")
VALUES = ("--set", f"image.repository={SERVER},image.tag=1", *WAIT)
MORE = (
    *VALUES,
    *("--set", "replicaCount=2,ingress.enabled=true,resources.limits.memory=64Mi,podSecurityContext.fsGroup=2000"),
)


@pytest.fixture(scope="module", autouse=True)
def image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One that serves a page on port 80 without being told to, as the chart expects."""
    archive = tmp_path_factory.mktemp("image") / "served.tar"
    serve = {"Cmd": ["httpd", "-f", "-p", "80", "-h", "/www"]}
    busybox_image(archive, f"{SERVER}:1", {"/www/index.html": "served\n"}, serve)
    cluster.motet("image", "import", str(archive))


@pytest.fixture
def chart(space: Space, tmp_path: Path) -> Path:
    helm(space, "create", str(tmp_path / "web"))
    return tmp_path / "web"


def helm(space: Space, *words: str) -> str:
    done = space.cluster.run(HELM, *words, "-n", space.namespace, timeout=120)
    return done.stdout


def listed(space: Space, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(helm(space, *words, "-o", "json"))
    return found


def test_an_unmodified_chart_lives_its_whole_life(space: Space, chart: Path) -> None:
    helm(space, "install", "shop", str(chart), *VALUES)
    assert [(each["name"], each["status"]) for each in listed(space, "list")] == [("shop", "deployed")]
    assert "shop-web" in space.kubectl("get", "deployment,service,serviceaccount", "-o", "name")
    assert space.cluster.http(space.address("shop-web"), 80) == "served\n"
    helm(space, "upgrade", "shop", str(chart), *MORE)
    assert len(space.pods("app.kubernetes.io/instance=shop")) == 2
    assert "shop-web" in space.kubectl("get", "ingress", "-o", "name")
    helm(space, "rollback", "shop", "1", *WAIT)
    space.wait("apps/v1/deployments", "shop-web", lambda found: found["status"].get("replicas") == 1)
    assert [each["status"] for each in listed(space, "history", "shop")] == ["superseded", "superseded", "deployed"]
    helm(space, "uninstall", "shop", *WAIT)
    assert space.kubectl("get", "deployment,service,ingress", "-o", "name") == ""


def test_a_charts_own_test_runs(space: Space, chart: Path) -> None:
    # The test names an image of a registry on the Internet, which no value changes.
    test = chart / "templates/tests/test-connection.yaml"
    written = test.read_text()
    assert "image: busybox" in written
    test.write_text(written.replace("image: busybox", f"image: {IMAGE}"))
    helm(space, "install", "shop", str(chart), *VALUES)
    assert "Succeeded" in helm(space, "test", "shop", "--timeout", "60s")


def test_a_second_manager_of_a_field_is_told_who_has_it(space: Space, chart: Path) -> None:
    helm(space, "install", "shop", str(chart), *VALUES)
    space.kubectl("scale", "deployment", "shop-web", "--replicas=3")
    more = ("upgrade", "shop", str(chart), *MORE, "-n", space.namespace)
    done = space.cluster.run(HELM, *more, check=False, timeout=120)
    assert done.returncode != 0
    assert ".spec.replicas" in done.stderr
