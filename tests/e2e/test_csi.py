"""Volumes of a CSI driver that runs beside the node."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster, Json, until
from e2e.space import Space, pod, shell
from motet.pods import mounts
from support.csidriver import ask, calls, named

NAME = "test.csi.example"
MOUNT = [{"name": "data", "mountPath": "/data"}]


class Beside:
    """A driver in a process of its own."""

    def __init__(self, base: Path, cluster: Cluster) -> None:
        self.base, self.cluster = base, cluster
        self.kubelet = cluster.machine.agent_dir / "kubelet"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        words = ["-m", "support.csidriver", "--base", self.base, "--kubelet", self.kubelet, "--name", NAME]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen([sys.executable, *map(str, words)], env=env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        if self.process is not None:
            with self.process:
                self.process.terminate()

    def asked(self, method: str) -> int:
        return len(calls(self.base, method))


@pytest.fixture
def driver(cluster: Cluster) -> Iterator[Beside]:
    about = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": NAME}}
    cluster.apply({**about, "spec": {"attachRequired": True, "podInfoOnMount": True}})
    with tempfile.TemporaryDirectory(prefix="csi", dir="/tmp") as name:
        made = Beside(Path(name), cluster)
        yield made
        made.stop()
        for point in (*mounts.below(made.base), *mounts.below(made.kubelet)):
            mounts.unmount(point)
    cluster.kubectl("delete", "csidriver", NAME)


def volume(space: Space, name: str) -> tuple[dict[str, object], dict[str, object]]:
    """A volume of the driver, and a claim that has it."""
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    spec = {
        **common,
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": space.namespace, "name": name},
        "csi": {"driver": NAME, "volumeHandle": f"{space.namespace}-{name}"},
    }
    claim = {**common, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": f"{space.namespace}-{name}"}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{space.namespace}-{name}"},
            "spec": spec,
        },
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim},
    )


def attachments(cluster: Cluster) -> list[Json]:
    found: list[Json] = cluster.read("/apis/storage.k8s.io/v1/volumeattachments")["items"]
    return [each for each in found if each["spec"]["attacher"] == NAME]


def attach(space: Space, driver: Beside) -> None:
    """What an external attacher does: ask the driver's controller, and tell the API what it said."""
    (wish,) = until(lambda: attachments(space.cluster), what="nobody wants the volume attached")
    volume = f"{space.namespace}-one"
    endpoint = driver.kubelet / "plugins" / NAME / "csi.sock"
    told = ask(endpoint, "csi.v1.Controller/ControllerPublishVolume", volume_id=volume, node_id="node-one")
    status = {"status": {"attached": True, "attachmentMetadata": dict(told.publish_context)}}
    words = ("volumeattachment", wish["metadata"]["name"], "--subresource=status", "--type=merge")
    space.cluster.kubectl("patch", *words, "-p", json.dumps(status))


def test_a_pod_waits_for_its_driver_survives_a_dead_agent_and_gives_everything_back(space: Space, driver: Beside):
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "one"}}]
    space.apply(*volume(space, "one"))
    space.apply(pod("web", shell("echo hello > /data/x; exec pause", volumeMounts=MOUNT), volumes=volumes))
    missing = f"driver name {NAME} not found in the list of registered CSI drivers"
    until(lambda: any(missing in each for each in space.events("web")), what="no word of the missing driver")
    hold = driver.base / "hold-NodePublishVolume"
    hold.touch()
    driver.start()
    attach(space, driver)
    until(lambda: driver.asked("NodePublishVolume"), what="not published")
    agent = space.cluster.part_pid("agent")
    os.kill(agent, signal.SIGKILL)
    hold.unlink()
    space.running("web")
    assert (driver.base / "volumes" / f"{space.namespace}-one" / "x").read_text() == "hello\n"
    published = calls(driver.base, "NodePublishVolume")[-1]
    assert published["volume_context"]["csi.storage.k8s.io/pod.name"] == "web"
    node = space.get("pods", "web")["spec"]["nodeName"]
    csi_node = space.cluster.read(f"/apis/storage.k8s.io/v1/csinodes/{node}")
    key = f"topology.{NAME}/rack"
    expected = {"name": NAME, "nodeID": "node-one", "topologyKeys": [key], "allocatable": {"count": 2}}
    assert csi_node["spec"]["drivers"] == [expected]
    assert space.cluster.read(f"/api/v1/nodes/{node}")["metadata"]["labels"][key] == "r1"
    assert published["publish_context"] == {"device": f"/dev/{space.namespace}-one"}
    in_use = f"kubernetes.io/csi/{NAME}^{space.namespace}-one"
    assert space.cluster.read(f"/api/v1/nodes/{node}")["status"]["volumesInUse"] == [in_use]
    space.kubectl("delete", "pod", "web")
    until(lambda: not attachments(space.cluster), what="the volume stays attached")
    assert named(driver.base)[-2:] == ["NodeUnpublishVolume", "NodeUnstageVolume"]
    assert mounts.below(driver.kubelet) == []
    driver.stop()
    with contextlib.suppress(FileNotFoundError):
        (driver.kubelet / "plugins_registry" / f"{NAME}-reg.sock").unlink()
    until(
        lambda: not space.cluster.read(f"/apis/storage.k8s.io/v1/csinodes/{node}")["spec"]["drivers"],
        what="the driver is still told",
    )
    space.kubectl("delete", "pvc", "one")
    space.cluster.kubectl("delete", "pv", f"{space.namespace}-one")
