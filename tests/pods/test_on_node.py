"""Pods on a real containerd: what the spec says is what the container has, and what it does is what the API hears."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from motet.kinds import configmap, event, persistentvolume, persistentvolumeclaim, secret, service
from motet.kinds import pod as pod_kind
from motet.store.document import Document
from support.fake_client import FakeClient
from support.node import LiveNode
from support.pod_node import Agent, agent, shell

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    live = LiveNode()
    asyncio.run(live.start())
    yield live
    asyncio.run(live.destroy())


@pytest.fixture
async def made(node: LiveNode) -> AsyncIterator[Agent]:
    async with agent(node, starts_at_once=4, rotate_logs_at=20_000) as made:
        yield made
        for name in [pod.metadata.name for pod in made.manager.pods()]:
            await made.gone(name)


async def reasons(made: Agent, name: str) -> list[str]:
    await made.recorder.flush()
    told = [document.decode() for document in await made.client.list(event.KIND)]
    return [item["reason"] for item in told if item["involvedObject"]["name"] == name]


async def test_environment_comes_from_every_source(made: Agent):
    await made.client.create(
        configmap.KIND, {"metadata": {"name": "settings"}, "data": {"color": "blue", "size": "5"}}, "default"
    )
    encoded = base64.b64encode(b"s3cret").decode()
    await made.client.create(secret.KIND, {"metadata": {"name": "keys"}, "data": {"token": encoded}}, "default")
    await made.client.create(
        service.KIND,
        {"metadata": {"name": "db"}, "spec": {"clusterIP": "10.43.0.7", "ports": [{"port": 5432}]}},
        "default",
    )
    variables = [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "GREETING", "value": "hello $(CFG_color) $(NOBODY) $$(x)"},
    ]
    app = shell(
        "env",
        env=variables,
        envFrom=[{"prefix": "CFG_", "configMapRef": {"name": "settings"}}],
        resources={"limits": {"memory": "32Mi"}},
    )
    await made.run_pod(app, name="env", restartPolicy="Never")
    pod = await made.until("env", lambda pod: pod["status"]["phase"] == "Succeeded")
    printed = dict(line.split(" F ", 1)[1].split("=", 1) for line in made.log(pod, "app").splitlines() if "=" in line)
    assert {key: printed.get(key) for key in ("TOKEN", "CFG_size", "LIMIT", "GREETING", "DB_SERVICE_HOST")} == {
        "TOKEN": "s3cret", "CFG_size": "5", "LIMIT": "32", "GREETING": "hello blue $(NOBODY) $(x)", "DB_SERVICE_HOST": "10.43.0.7",
    }  # fmt: skip
    assert printed["POD_IP"] == pod["status"]["podIP"]


async def test_a_missing_configmap_is_named_and_the_pod_starts_once_it_is_there(made: Agent):
    app = shell("sleep 1000", env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "a"}}}])
    await made.run_pod(app, name="waits")
    pod = await made.until(
        "waits",
        lambda pod: pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError",
    )
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] == 'configmap "later" not found'
    await made.client.create(configmap.KIND, {"metadata": {"name": "later"}, "data": {"a": "1"}}, "default")
    await made.running("waits")


async def test_volumes_hold_what_they_should_with_the_right_owners(made: Agent):
    await made.client.create(
        configmap.KIND, {"metadata": {"name": "files"}, "data": {"a": "one", "b": "two"}}, "default"
    )
    encoded = base64.b64encode(b"hush").decode()
    await made.client.create(secret.KIND, {"metadata": {"name": "hidden"}, "data": {"key": encoded}}, "default")
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "config", "configMap": {"name": "files", "items": [{"key": "a", "path": "deep/er", "mode": 0o400}]}},
        {"name": "secret", "secret": {"secretName": "hidden"}},
        {"name": "labels", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/v/{volume['name']}"} for volume in volumes]
    mounts.append({"name": "scratch", "mountPath": "/part", "subPath": "in/side"})
    script = (
        "cat /v/config/deep/er /v/secret/key /v/labels/name; echo; echo x > /v/scratch/file && echo y > /part/file;"
        "cat /v/scratch/in/side/file; stat -c %g /v/scratch/file; dd if=/dev/zero of=/v/memory/big bs=1M count=2 2>&1;"
        "touch /v/config/no 2>&1; id -G; sleep 1000"
    )
    await made.run_pod(
        shell(script, volumeMounts=mounts), name="vols", volumes=volumes,
        securityContext={"runAsUser": 1234, "fsGroup": 4321},
    )  # fmt: skip
    pod = await made.running("vols")
    log = ""
    while "4321\n" not in log.rpartition("Read-only")[2]:
        log = made.log(pod, "app")
        await asyncio.sleep(0.02)
    text = "\n".join(line.split(" ", 3)[3] for line in log.splitlines())
    assert text.startswith("onehushvols\ny\n4321\n")
    assert "No space left" in text
    assert "Read-only file system" in text
    secret_directory = made.tools.volumes.directory(pod["metadata"]["uid"]) / "volumes" / "secret"
    assert os.statvfs(secret_directory).f_fsid != os.statvfs(made.node.directory).f_fsid


async def test_a_changed_configmap_reaches_the_running_pod(made: Agent):
    await made.client.create(configmap.KIND, {"metadata": {"name": "live"}, "data": {"a": "old"}}, "default")
    volume = {"name": "c", "configMap": {"name": "live"}}
    await made.run_pod(
        shell("sleep 1000", volumeMounts=[{"name": "c", "mountPath": "/c"}]), name="follower", volumes=[volume]
    )
    await made.running("follower")
    assert await made.inside("follower", "cat", "/c/a") == "old"
    await made.client.patch(configmap.KIND, "live", {"data": {"a": "new"}}, "default")
    made.tools.sources._seen.clear()  # type: ignore[attr-defined]
    pod = made.manager.pod("default", "follower")
    assert pod is not None
    await made.tools.volumes.refresh(pod)
    assert await made.inside("follower", "cat", "/c/a") == "new"


async def test_a_claim_of_a_local_path_volume_keeps_its_data_between_pods(made: Agent):
    path = made.node.directory / "claims" / "data"
    volume = {
        "metadata": {"name": "pv1", "finalizers": ["motet.dev/local-path"]},
        "spec": {"hostPath": {"path": str(path)}},
    }
    await made.client.create(persistentvolume.KIND, volume)
    claim = {"metadata": {"name": "data"}, "spec": {"volumeName": "pv1"}, "status": {"phase": "Bound"}}
    await made.client.create(persistentvolumeclaim.KIND, claim, "default")
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    mount = [{"name": "d", "mountPath": "/d"}]
    first = shell("echo kept > /d/file", volumeMounts=mount, securityContext={"runAsUser": 1000})
    await made.run_pod(first, name="writer", volumes=volumes, restartPolicy="Never")
    await made.until("writer", lambda pod: pod["status"]["phase"] == "Succeeded")
    await made.gone("writer")
    await made.run_pod(shell("cat /d/file", volumeMounts=mount), name="reader", volumes=volumes, restartPolicy="Never")
    pod = await made.until("reader", lambda pod: pod["status"]["phase"] == "Succeeded")
    assert made.log(pod, "app").endswith("F kept\n")


async def test_limits_are_enforced_and_an_oom_kill_shows(made: Agent):
    hungry = shell("x=a; while true; do x=$x$x; done", resources={"limits": {"memory": "16Mi", "cpu": "500m"}})
    await made.run_pod(hungry, name="hungry", restartPolicy="Never")
    pod = await made.until("hungry", lambda pod: pod["status"]["phase"] == "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert pod["status"]["qosClass"] == "Guaranteed"


async def test_processor_and_process_limits_are_on_the_pods_cgroup(made: Agent):
    await made.run_pod(shell("sleep 1000", resources={"limits": {"cpu": "250m", "memory": "64Mi"}}), name="limited")
    pod = await made.running("limited")
    group = f"{made.node.pods_cgroup}/guaranteed/pod{pod['metadata']['uid']}"
    assert made.tools.cgroups.exists(group)
    assert (
        await made.inside(
            "limited", "sh", "-c", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true"
        )
    ).split()[0] == "25000"
    await made.gone("limited")
    assert not made.tools.cgroups.exists(group)


async def test_containers_have_the_least_privileges_unless_asked(made: Agent):
    await made.run_pod(
        shell("sleep 1000"),
        shell("sleep 1000", name="raised", securityContext={"allowPrivilegeEscalation": True}),
        name="least",
    )
    await made.running("least")
    status = await made.inside("least", "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t0" in await made.inside("least", "cat", "/proc/1/status", container="raised")


async def test_a_failing_liveness_probe_restarts_the_container(made: Agent):
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    await made.run_pod(shell("sleep 1000 & wait", livenessProbe=probe), name="sick", terminationGracePeriodSeconds=1)
    await made.running("sick")
    await made.inside("sick", "touch", "/tmp/sick")
    pod = await made.until("sick", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert {"Unhealthy", "Killing"} <= set(await reasons(made, "sick"))
    assert pod["status"]["phase"] == "Running"


async def test_readiness_follows_its_probe(made: Agent):
    probe = {"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1}
    await made.run_pod(shell("sleep 1000", readinessProbe=probe), name="slow")
    pod = await made.until("slow", lambda pod: pod["status"]["phase"] == "Running")
    assert not pod["status"]["containerStatuses"][0]["ready"]
    await made.inside("slow", "touch", "/tmp/ok")
    await made.running("slow")


async def test_prestop_runs_then_the_grace_period_then_sigkill(made: Agent):
    script = "trap '' TERM; echo up; while true; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}}
    await made.run_pod(shell(script, lifecycle=hook), name="stubborn")
    pod = await made.running("stubborn")
    seen: list[dict[str, object]] = []
    log = made.tools.config.logs_directory.glob("default_stubborn_*/app/0.log")
    file = next(iter(log)).open()
    watch = asyncio.create_task(made.until("stubborn", lambda pod: seen.append(pod) if pod else True))
    await made.gone("stubborn", grace=2)
    await watch
    assert "stopping" in file.read()
    file.close()
    states = [item["status"]["containerStatuses"][0]["state"] for item in seen]  # type: ignore[index]
    assert any(state.get("terminated", {}).get("exitCode") == 137 for state in states)
    assert pod["status"]["phase"] == "Running"


async def test_a_shorter_grace_breaks_off_a_long_stop(made: Agent):
    await made.run_pod(shell("trap '' TERM; while true; do sleep 0.1; done"), name="patient")
    await made.running("patient")
    await made.client.delete(pod_kind.KIND, "patient", "default", grace_seconds=600)
    async with asyncio.timeout(10):
        while "Killing" not in await reasons(made, "patient"):
            await asyncio.sleep(0.02)
    await made.gone("patient", grace=1)


async def test_a_termination_message_is_reported(made: Agent):
    await made.run_pod(
        shell("echo -n the disk was full > /dev/termination-log; exit 4"), name="dying", restartPolicy="Never"
    )
    pod = await made.until("dying", lambda pod: pod["status"]["phase"] == "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (4, "the disk was full")


async def test_a_missing_image_is_reported_as_the_kubelet_does(made: Agent):
    image = {"name": "app", "image": "localhost/not/here:1", "imagePullPolicy": "Never"}
    await made.run_pod(image, name="noimage")
    pod = await made.until(
        "noimage",
        lambda pod: (
            "waiting" in pod["status"]["containerStatuses"][0]["state"]
            and pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImageNeverPull"
        ),
    )
    assert pod["status"]["phase"] == "Pending"


async def test_an_unsupported_field_keeps_the_pod_pending_and_is_named(made: Agent):
    await made.run_pod(shell("true"), name="userns", hostUsers=False)
    pod = await made.until("userns", lambda pod: pod["status"].get("reason") == "UnsupportedField")
    assert pod["status"]["phase"] == "Pending"
    assert "spec.hostUsers=false" in pod["status"]["message"]


async def test_logs_are_rotated_without_losing_a_line(made: Agent):
    from motet.base.clock import SystemClock
    from motet.pods import logs

    await made.run_pod(shell("for i in $(seq 1 300); do echo line $i; done; sleep 1000"), name="chatty")
    pod = await made.running("chatty")
    path = str(made.tools.config.logs_directory / f"default_chatty_{pod['metadata']['uid']}/app/0.log")
    view = made.manager.pod("default", "chatty")
    assert view is not None
    container = (await made.manager.observed(view)).running[0]
    logs.set_aside(path, SystemClock().now())
    await made.runtime.reopen_log(container.id)
    await made.inside("chatty", "sh", "-c", "echo after > /proc/1/fd/1")

    async def ended() -> bool:
        return False

    async with asyncio.timeout(10):
        text = b""
        while not text.endswith(b"after\n"):
            text = b"".join([piece async for piece in logs.read(path, logs.LogQuery(), SystemClock(), ended)])
    assert text.splitlines() == [*(f"line {i}".encode() for i in range(1, 301)), b"after"]


async def test_a_new_agent_takes_over_without_restarting_anything(node: LiveNode):
    client = FakeClient()
    async with agent(node, client) as before:
        await before.run_pod(shell("sleep 1000"), name="stays")
        pod = await before.running("stays")
        started = pod["status"]["containerStatuses"][0]
    assert node.containerd.pid
    os.kill(node.containerd.pid, signal.SIGKILL)
    await node.containerd.ensure()
    async with agent(node, client) as after:
        await asyncio.sleep(0.5)
        pod = await after.running("stays")
        assert pod["status"]["containerStatuses"][0] == started
        assert (await after.inside("stays", "echo", "alive")) == "alive\n"
        await after.gone("stays")


async def test_pods_are_looked_after_while_the_api_is_away(made: Agent):
    await made.run_pod(shell("until [ -e /tmp/end ]; do sleep 0.05; done"), name="alone")
    await made.running("alone")
    made.client.away = True
    await made.inside("alone", "touch", "/tmp/end")
    view = made.manager.pod("default", "alone")
    assert view is not None
    async with asyncio.timeout(10):
        while not [one for one in (await made.manager.observed(view)).running if one.attempt == 1]:
            await asyncio.sleep(0.05)
    made.client.away = False
    pod = await made.until("alone", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert pod["status"]["phase"] == "Running"


async def test_what_the_api_does_not_know_is_stopped_and_removed(node: LiveNode):
    async with agent(node) as before:
        await before.run_pod(shell("sleep 1000"), name="orphan")
        await before.running("orphan")
    async with agent(node) as after, asyncio.timeout(20):
        while await after.runtime.sandboxes() or after.tools.volumes.on_disk():
            await asyncio.sleep(0.05)
        assert await after.runtime.containers() == []


async def test_an_ephemeral_container_sees_the_processes_of_its_target(made: Agent):
    await made.run_pod(shell("exec sleep 4321"), name="looked-at")
    await made.running("looked-at")
    debug = shell("cat /proc/1/cmdline | tr '\\0' ' '; echo", name="debug", targetContainerName="app")
    await made.client.patch(pod_kind.KIND, "looked-at", {"spec": {"ephemeralContainers": [debug]}}, "default")
    pod = await made.until(
        "looked-at", lambda pod: pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"]
    )
    assert made.log(pod, "debug").endswith("F sleep 4321 \n")
    assert pod["status"]["phase"] == "Running"


class Gate:
    """In place of the node's network: rules are in force when the test says so."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.addresses: dict[str, str] = {}

    def admit(self, document: Document, address: str, sandbox: str = "", second: str = "") -> None:
        self.addresses[document.name] = address

    def dismiss(self, uid: str) -> None:
        self.addresses.clear()

    async def enforced(self) -> None:
        async with asyncio.timeout(0.2):
            await self.open.wait()


async def test_no_container_starts_before_the_rules_for_the_pods_address_are_in_force(node: LiveNode):
    gate = Gate()
    async with agent(node, isolation=gate) as made:
        await made.run_pod(shell("sleep 1000"), name="guarded")

        def held_back(pod: dict) -> bool:
            (container,) = pod["status"]["containerStatuses"]
            return container["state"]["waiting"]["reason"] == "NetworkNotReady"

        pod = await made.until("guarded", held_back)
        assert gate.addresses == {"guarded": pod["status"]["podIP"]}
        gate.open.set()
        await made.running("guarded")
        await made.gone("guarded")
        assert gate.addresses == {}


def limit_inside(pod: dict[str, Any]) -> str:
    return str(pod["status"]["containerStatuses"][0]["resources"]["limits"]["memory"])


async def test_a_running_container_is_resized_in_place_up_and_down(made: Agent):
    def sized(memory: str, cpu: str) -> dict[str, Any]:
        return shell("sleep 1000", resources={"limits": {"memory": memory, "cpu": cpu}})

    await made.run_pod(sized("32Mi", "100m"), name="grows")
    before = await made.running("grows")
    for memory, cpu, quota in (("128Mi", "500m", 50_000), ("16Mi", "50m", 5_000)):
        await made.client.patch(pod_kind.KIND, "grows", {"spec": {"containers": [sized(memory, cpu)]}}, "default")
        pod = await made.until("grows", lambda pod, memory=memory: limit_inside(pod) == memory)
        inside = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes"
        shown = (await made.inside("grows", "sh", "-c", inside)).split()
        assert shown == [str(quota), str(int(memory[:-2]) << 20)]
        whole = f"{made.node.pods_cgroup}/guaranteed/pod{pod['metadata']['uid']}"
        assert Path(f"/sys/fs/cgroup/cpu{whole}/cpu.cfs_quota_us").read_text().strip() == str(quota)
    assert (
        pod["status"]["containerStatuses"][0]["containerID"] == before["status"]["containerStatuses"][0]["containerID"]
    )
    assert "Resized" in await reasons(made, "grows")


async def test_a_resize_survives_a_new_agent_that_finds_it_half_done(node: LiveNode):
    client = FakeClient()
    async with agent(node, client) as before:
        await before.run_pod(shell("sleep 1000", resources={"limits": {"memory": "32Mi"}}), name="half")
        await before.running("half")
    bigger = shell("sleep 1000", resources={"limits": {"memory": "64Mi"}})
    await client.patch(pod_kind.KIND, "half", {"spec": {"containers": [bigger]}}, "default")
    async with agent(node, client) as after:
        pod = await after.until("half", lambda pod: limit_inside(pod) == "64Mi")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        await after.gone("half")


async def test_a_resize_that_has_no_room_waits_until_there_is(made: Agent):
    def asking(cpu: str) -> dict[str, Any]:
        return shell("sleep 1000", resources={"requests": {"cpu": cpu}})

    await made.run_pod(asking("1500m"), name="large", terminationGracePeriodSeconds=1)
    await made.run_pod(asking("100m"), name="small")
    await made.running("large")
    await made.running("small")
    await made.client.patch(pod_kind.KIND, "small", {"spec": {"containers": [asking("1")]}}, "default")

    def pending(pod: dict[str, Any]) -> list[str]:
        return [item["reason"] for item in pod["status"]["conditions"] if item["type"] == "PodResizePending"]

    await made.until("small", lambda pod: pending(pod) == ["Deferred"])
    await made.gone("large")
    pod = await made.until("small", lambda pod: not pending(pod))
    assert pod["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "1"}


async def test_a_pod_that_does_not_fit_fails_and_says_why(made: Agent):
    await made.run_pod(shell("sleep 1000", resources={"requests": {"cpu": "3"}}), name="toomuch")
    pod = await made.until("toomuch", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "OutOfcpu"
    assert "OutOfcpu" in await reasons(made, "toomuch")
