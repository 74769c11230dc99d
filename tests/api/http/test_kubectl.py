"""Real kubectl against the real server. Every version found is tried: the newest from the development dependencies, and
any `kubectl.1.NN` on the PATH or in `MOTET_KUBECTLS` (paths separated by colons).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sysconfig
from pathlib import Path

import pytest
from tests.api.http.conftest import Api

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: nginx, ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p1, labels: {a: b}}
spec: {containers: [{name: c, image: nginx}]}
"""


def binaries() -> list[str]:
    newest = str(Path(sysconfig.get_path("scripts")) / "kubectl")
    named = [path for path in os.environ.get("MOTET_KUBECTLS", "").split(":") if path]
    on_path = [found for minor in (27, 32) if (found := shutil.which(f"kubectl.1.{minor}"))]
    return list(dict.fromkeys([newest, *named, *on_path]))


class Kubectl:
    def __init__(self, api: Api, binary: str) -> None:
        self.api = api
        self.binary = binary

    async def __call__(self, command: str, *more: str, stdin: str = "", fails: bool = False) -> str:
        return await self.api.kubectl(*command.split(), *more, stdin=stdin, fails=fails, binary=self.binary)


@pytest.fixture(params=binaries(), ids=lambda path: Path(path).name)
def kubectl(request: pytest.FixtureRequest, api: Api) -> Kubectl:
    return Kubectl(api, request.param)


async def test_apply_creates_and_then_finds_nothing_to_change(kubectl: Kubectl) -> None:
    out = await kubectl("apply -f -", stdin=WEB)
    assert out.splitlines() == ["deployment.apps/web created", "service/web created", "pod/p1 created"]
    out = await kubectl("apply -f -", stdin=WEB)
    assert out.splitlines() == ["deployment.apps/web unchanged", "service/web unchanged", "pod/p1 unchanged"]
    assert await kubectl("diff -f -", stdin=WEB) == ""
    out = await kubectl("apply -f -", stdin=WEB.replace("replicas: 2", "replicas: 3"))
    assert out.splitlines()[0] == "deployment.apps/web configured"
    assert await kubectl("get deploy web -o jsonpath={.spec.replicas}") == "3"


async def test_objects_are_created_edited_and_deleted(kubectl: Kubectl) -> None:
    await kubectl("create namespace team")
    assert await kubectl("create configmap c -n team --from-literal=a=1") == "configmap/c created\n"
    await kubectl("create secret generic s -n team --from-literal=a=1")
    await kubectl("create deployment d -n team --image=nginx --replicas=3")
    await kubectl("label cm c -n team x=y")
    await kubectl("annotate cm c -n team x=y")
    await kubectl("patch cm c -n team -p", '{"data":{"b":"2"}}')
    await kubectl("patch cm c -n team --type=json -p", '[{"op":"remove","path":"/data/a"}]')
    assert await kubectl("get cm c -n team -o jsonpath={.data}{.metadata.labels}") == '{"b":"2"}{"x":"y"}'
    await kubectl("scale deploy d -n team --replicas=1")
    await kubectl("set image deploy/d -n team nginx=busybox")
    out = await kubectl("get deploy d -n team -o jsonpath={.spec.replicas}{.spec.template.spec.containers[0].image}")
    assert out == "1busybox"
    await kubectl("delete cm c -n team")
    assert await kubectl("get cm c -n team --ignore-not-found") == ""
    await kubectl("wait -n team --for=delete cm/c --timeout=5s")


async def test_lists_are_tables_selected_and_sorted(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", stdin=WEB)
    assert (await kubectl("get pods")).splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert "NOMINATED NODE" in await kubectl("get pods -o wide")
    assert await kubectl("get pods -l a=b -o name") == "pod/p1\n"
    assert await kubectl("get pods --field-selector metadata.name!=p1 -o name") == ""
    assert "service/web" in await kubectl("get all")
    assert (await kubectl("get ns --sort-by=.metadata.name -o name --chunk-size=1")).splitlines() == [
        "namespace/default",
        "namespace/kube-node-lease",
        "namespace/kube-public",
        "namespace/kube-system",
    ]
    assert "kind: Deployment" in await kubectl("get deploy web -o yaml")


async def test_a_watch_prints_what_happens(kubectl: Kubectl) -> None:
    command = "get cm -n kube-public --watch-only -o name --request-timeout=1s"
    watching = asyncio.create_task(kubectl(command, fails=False))
    async with asyncio.timeout(20):
        while not kubectl.api.server._watches.active:
            await asyncio.sleep(0.01)
    await kubectl.api.ask("POST", "/api/v1/namespaces/kube-public/configmaps", {"metadata": {"name": "seen"}})
    assert await watching == "configmap/seen\n"


async def test_what_there_is_can_be_explored(kubectl: Kubectl) -> None:
    out = await kubectl("api-resources --api-group=apps")
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in [line.split() for line in out.splitlines()]
    assert "rollingUpdate" in await kubectl("explain deploy.spec.strategy")
    assert "Server Version" in await kubectl("version")
    await kubectl("apply -f -", stdin=WEB)
    assert "RollingUpdate" in await kubectl("describe deploy web")
    assert "Containers:" in await kubectl("describe pod p1")
    assert "10.43." in await kubectl("describe svc web")


async def test_who_am_i_and_what_may_i_do(kubectl: Kubectl) -> None:
    assert "system:masters" in await kubectl("auth whoami")
    assert await kubectl("auth can-i create pods") == "yes\n"
    assert "*.*" in await kubectl("auth can-i --list")
    assert "forbidden" in await kubectl("get pods --as=eve", fails=True)


async def test_waiting_and_rollouts_follow_the_status(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", stdin=WEB)
    waiting = asyncio.create_task(kubectl("wait --for=condition=Available deploy/web --timeout=20s"))
    rolling = asyncio.create_task(kubectl("rollout status deploy/web --timeout=20s"))
    path = "/apis/apps/v1/namespaces/default/deployments/web/status"
    status = {
        "observedGeneration": 1,
        **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2),
        "conditions": [{"type": "Available", "status": "True", "reason": "x", "message": "y"}],
    }
    headers = {"Content-Type": "application/merge-patch+json"}
    code, _ = await kubectl.api.ask("PATCH", path, {"status": status}, headers=headers)
    assert code == 200
    assert await waiting == "deployment.apps/web condition met\n"
    assert "successfully rolled out" in await rolling


async def test_a_wrong_manifest_names_its_fields(kubectl: Kubectl) -> None:
    wrong = WEB.replace("image: nginx, ports", "imagee: nginx, ports")
    assert "imagee" in await kubectl("apply -f -", stdin=wrong, fails=True)
    assert await kubectl("get deploy -o name") == ""


async def test_a_running_pod_is_looked_into(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", stdin=WEB)
    await kubectl("debug p1 --image=busybox:1 --container=look --target=c")
    added = "jsonpath={.spec.ephemeralContainers[0].name}/{.spec.ephemeralContainers[0].targetContainerName}"
    assert await kubectl(f"get pod p1 -o {added}") == "look/c"


async def test_a_token_is_made_for_an_account(kubectl: Kubectl) -> None:
    await kubectl("create serviceaccount robot")
    token = (await kubectl("create token robot --duration=20m")).strip()
    who = await kubectl.api.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
    assert who[1]["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"


async def test_server_side_apply_settles_who_owns_what(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", stdin=WEB)
    out = await kubectl("apply --server-side -f -", stdin=WEB)  # takes over what client-side apply made
    assert out.splitlines()[0] == "deployment.apps/web serverside-applied"
    revision = "get deploy web -o jsonpath={.metadata.resourceVersion}"
    before = await kubectl(revision)
    await kubectl("apply --server-side -f -", stdin=WEB)
    assert await kubectl(revision) == before
    other = WEB.replace("replicas: 2", "replicas: 3")
    out = await kubectl("apply --server-side --field-manager=other -f -", stdin=other, fails=True)
    assert 'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas' in out
    await kubectl("apply --server-side --field-manager=other --force-conflicts -f -", stdin=other)
    out = await kubectl("get deploy web -o yaml --show-managed-fields")
    assert "manager: other" in out
    assert "managedFields" not in await kubectl("get deploy web -o yaml")


async def test_a_replaced_object_is_another_one(kubectl: Kubectl) -> None:
    web = WEB.partition("---")[0]
    await kubectl("create -f -", stdin=web)
    assert "already exists" in await kubectl("create -f -", stdin=web, fails=True)
    assert await kubectl("replace -f -", stdin=web) == "deployment.apps/web replaced\n"
    uid = "get deploy web -o jsonpath={.metadata.uid}"
    before = await kubectl(uid)
    await kubectl("replace --force -f -", stdin=web)
    assert await kubectl(uid) != before


async def test_services_are_made_by_every_generator(kubectl: Kubectl) -> None:
    for command in ("clusterip a --tcp=80", "nodeport b --tcp=80", "loadbalancer c --tcp=80"):
        await kubectl(f"create service {command}")
    await kubectl("create service externalname d --external-name=example.org")
    await kubectl("create serviceaccount robot")
    await kubectl("create secret docker-registry pull --docker-username=u --docker-password=p")
    await kubectl("run p --image=nginx --port=80")
    await kubectl("expose pod p --name=e")
    types = await kubectl("get svc a b c d e -o jsonpath={.items[*].spec.type}")
    assert types == "ClusterIP NodePort LoadBalancer ExternalName ClusterIP"


async def test_nodes_are_cordoned_and_tainted(kubectl: Kubectl) -> None:
    await kubectl.api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await kubectl("cordon n1")
    await kubectl("taint node n1 a=b:NoSchedule")
    assert "SchedulingDisabled" in await kubectl("get nodes")
    await kubectl("uncordon n1")
    await kubectl("taint node n1 a-")
    assert await kubectl("get node n1 -o jsonpath={.spec}") in ("", "{}")


async def test_edits_are_sent_as_patches(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "sed -i s/one/two/")
    await kubectl("create configmap c --from-literal=a=one")
    assert await kubectl("edit cm c") == "configmap/c edited\n"
    assert await kubectl("get cm c -o jsonpath={.data.a}") == "two"
    assert await kubectl("get --raw /api/v1/namespaces/default/configmaps/c") != ""
