"""Pods looked into, resized, measured, proxied to, held to their limits: through kubectl, on a real cluster."""

from __future__ import annotations

import json

from e2e.cluster import IMAGE, until
from e2e.space import WEB, Space, pod, service, shell, state


def test_debug_adds_a_container_that_sees_the_others_processes(space: Space):
    space.apply(pod("broken", shell("exec sleep 4242")))
    space.running("broken")
    space.kubectl(
        "debug", "broken", f"--image={IMAGE}", "--target=app", "--container=look", "--", "cat", "/proc/1/cmdline"
    )
    space.wait("pods", "broken", lambda found: found["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"])
    assert "4242" in space.kubectl("logs", "broken", "-c", "look")
    assert "ephemeral containers" in space.kubectl("describe", "pod", "broken").lower()


def test_a_pod_is_resized_while_it_runs_and_told_when_it_cannot_be(space: Space):
    limits = {"limits": {"cpu": "100m", "memory": "32Mi"}}
    space.apply(pod("elastic", shell("sleep 1000", resources=limits)))
    before = state(space.running("elastic"))["containerID"]

    def resize(cpu: str) -> None:
        wanted = f'{{"limits": {{"cpu": "{cpu}", "memory": "64Mi"}}, "requests": {{"cpu": "{cpu}", "memory": "64Mi"}}}}'
        patch = f'{{"spec": {{"containers": [{{"name": "app", "resources": {wanted}}}]}}}}'
        space.kubectl("patch", "pod", "elastic", "--subresource=resize", "--patch", patch)

    resize("200m")
    found = space.wait("pods", "elastic", lambda found: state(found)["resources"]["limits"]["cpu"] == "200m")
    assert state(found)["containerID"] == before
    quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max"
    assert space.exec("elastic", "sh", "-c", quota).strip() == "20000"
    resize("4000")
    found = space.wait(
        "pods",
        "elastic",
        lambda found: any(item["type"] == "PodResizePending" for item in found["status"]["conditions"]),
    )
    pending = next(item for item in found["status"]["conditions"] if item["type"] == "PodResizePending")
    assert pending["reason"] == "Infeasible"
    assert state(found)["resources"]["limits"]["cpu"] == "200m"


def test_top_shows_what_pods_and_nodes_use(space: Space):
    space.apply(pod("busy", shell("while true; do :; done", resources={"limits": {"cpu": "300m"}})))
    space.running("busy")

    def cores() -> int:
        rows = [row.split() for row in space.kubectl("top", "pods", "--no-headers").splitlines() if row]
        return next((int(row[1].removesuffix("m")) for row in rows if row[0] == "busy"), 0)

    until(lambda: 150 < cores() < 450, 40, "the busy pod does not show")
    assert "%" in space.kubectl("top", "nodes", "--no-headers")


def test_the_api_passes_requests_on_to_pods_services_and_nodes(space: Space):
    space.apply(pod("web", WEB), service("web"))
    space.running("web")
    root = f"/api/v1/namespaces/{space.namespace}"
    for path in (f"{root}/pods/web:8080/proxy/", f"{root}/services/web:http/proxy/"):
        until(lambda path=path: space.kubectl("get", "--raw", path).startswith("v1 "), what=f"nobody answers at {path}")
    node = space.get("pods", "web")["spec"]["nodeName"]
    told = json.loads(space.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    web = next(each for each in told["pods"] if each["podRef"]["namespace"] == space.namespace)
    assert (web["network"]["name"], web["network"]["rxBytes"] > 0) == ("eth0", True)
    assert web["volume"][0]["name"].startswith("kube-api-access-")
    assert told["node"]["network"]["interfaces"]
    figures = space.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/resource")
    assert f'namespace="{space.namespace}",pod="web"' in figures


def test_a_pod_that_fills_its_scratch_space_is_evicted(space: Space):
    fill = shell(
        "dd if=/dev/zero of=/scratch/file bs=1M count=6; sleep 1000",
        volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
    )
    space.apply(pod("filler", fill, volumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "2Mi"}}]))
    found = space.wait("pods", "filler", lambda found: found["status"]["phase"] == "Failed", timeout=60)
    assert found["status"]["reason"] == "Evicted"
    assert 'EmptyDir volume "scratch" exceeds the limit "2Mi"' in space.event("filler", "Evicted")


def test_a_sysctl_that_is_not_safe_is_refused(space: Space):
    context = {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}
    space.apply(pod("unsafe", shell("sleep 1000"), securityContext=context))
    found = space.wait("pods", "unsafe", lambda found: found["status"]["phase"] == "Failed")
    assert found["status"]["reason"] == "SysctlForbidden"
