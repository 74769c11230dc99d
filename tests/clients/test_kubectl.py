"""kubectl of older versions on a real node: what a day with it is made of. `make clients` runs this, and with the same binaries
`tests/api/http/test_kubectl.py`, which has many more verbs against an API without nodes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from e2e.cluster import until
from e2e.space import WEB, Space, deployment, service

KUBECTLS = [path for path in os.environ.get("MOTET_KUBECTLS", "").split(":") if path]
pytestmark = pytest.mark.skipif(not KUBECTLS, reason="make clients downloads older kubectls (MOTET_KUBECTLS)")


class Kubectl:
    """One binary in one namespace."""

    def __init__(self, space: Space, binary: str) -> None:
        self.space = space
        self.binary = binary

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        return self.space.cluster.run(self.binary, "-n", self.space.namespace, *words, stdin=stdin, timeout=120).stdout

    def popen(self, *words: str) -> subprocess.Popen[str]:
        command = self.space.cluster.command(self.binary, "-n", self.space.namespace, *words)
        return subprocess.Popen(command, env=self.space.cluster.environment(), stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=KUBECTLS, ids=lambda path: Path(path).name)
def kubectl(request: pytest.FixtureRequest, space: Space) -> Kubectl:
    return Kubectl(space, request.param)


def test_a_day_with_it(kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = yaml.safe_dump_all([deployment("web", 2, WEB), service("web")])
    assert "deployment.apps/web created" in kubectl("apply", "-f", "-", stdin=manifest)
    kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    assert kubectl("diff", "-f", "-", stdin=manifest) == ""
    assert kubectl("get", "deployment", "web", "--no-headers").split()[:2] == ["web", "2/2"]

    kubectl("set", "env", "deployment/web", "VERSION=v2")
    kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    kubectl("autoscale", "deployment", "web", "--min=1", "--max=2")
    kubectl("delete", "horizontalpodautoscaler", "web")
    kubectl("scale", "deployment", "web", "--replicas=1")
    kubectl("wait", "--for=jsonpath={.status.replicas}=1", "deployment/web", "--timeout=60s")

    pod = kubectl.space.pods("app=web")[0]["metadata"]["name"]
    assert kubectl("exec", "-i", pod, "--", "tr", "a-z", "A-Z", stdin="shout") == "SHOUT"
    (tmp_path / "there").write_text("carried\n")
    kubectl("cp", str(tmp_path / "there"), f"{pod}:/tmp/there")
    kubectl("cp", f"{pod}:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "carried\n"
    with kubectl.popen("port-forward", f"pod/{pod}", ":8080") as forwarding:
        try:
            assert forwarding.stdout is not None
            port = int(forwarding.stdout.readline().split("127.0.0.1:")[1].split(" ")[0])
            assert kubectl.space.cluster.http("127.0.0.1", port) == f"v1 {pod}\n"
        finally:
            forwarding.kill()
    until(lambda: "response:200" in kubectl("logs", pod), 30, "the request is not in the log")
    assert "Started" in kubectl("describe", "pod", pod)

    image = WEB["image"]
    kubectl("create", "job", "once", f"--image={image}", "--", "echo", "done")
    kubectl("wait", "--for=condition=complete", "job/once", "--timeout=60s")
    assert kubectl("logs", "job/once") == "done\n"
    assert (
        kubectl("run", "brief", f"--image={image}", "--restart=Never", "--attach", "--rm", "-q", "--", "echo", "hi")
        == "hi\n"
    )
    kubectl("create", "secret", "generic", "key", "--from-literal=a=1")
    assert "ey" in kubectl("create", "token", "default")
    kubectl("delete", "pod", pod, "--wait=false")
    kubectl("delete", "-f", "-", "--timeout=90s", stdin=manifest)
    assert kubectl("get", "deployment,service", "-o", "name") == ""
