"""Environment and volumes from every source, and data that outlives its pod."""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import until
from e2e.space import Space, pause, pod, shell, state
from motet.runtime import mounts

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "conf"},
    "data": {"COLOUR": "green", "file": "text\n"},
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"TOKEN": "s3cret-in-a-pod", "pem": "key\n"}}  # fmt: skip


def claim(name: str, size: str = "10Mi") -> dict[str, object]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def test_environment_from_every_source(space: Space):
    env = [
        {"name": "PLAIN", "value": "plain"},
        {"name": "DERIVED", "value": "$(PLAIN)+$(MISSING)"},
        {"name": "FROM_CONFIG", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "COLOUR"}}},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
        {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
    ]
    whole = [{"configMapRef": {"name": "conf"}}, {"secretRef": {"name": "keys"}, "prefix": "S_"}]
    space.apply(
        CONFIG,
        SECRET,
        pod("app", shell("env; exec pause", env=env, envFrom=whole, resources={"limits": {"memory": "32Mi"}})),
    )
    found = space.running("app")
    seen = dict(line.split("=", 1) for line in space.logs("app").splitlines() if "=" in line)
    expected = {
        "PLAIN": "plain", "DERIVED": "plain+$(MISSING)", "FROM_CONFIG": "green", "FROM_SECRET": "s3cret-in-a-pod",
        "POD_NAME": "app", "POD_IP": found["status"]["podIP"], "NODE": found["spec"]["nodeName"], "LABEL": "app",
        "MEMORY": str(32 << 20), "COLOUR": "green", "S_TOKEN": "s3cret-in-a-pod", "KUBERNETES_SERVICE_HOST": "10.43.0.1",
        "HOSTNAME": "app",
    }  # fmt: skip
    assert {key: seen.get(key) for key in expected} == expected
    assert "GONE" not in seen


def test_a_pod_waits_for_the_configuration_it_names(space: Space):
    space.apply(
        pod("app", pause(env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "COLOUR"}}}]))
    )
    found = space.wait(
        "pods", "app", lambda found: state(found)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    )
    assert "conf" in state(found)["state"]["waiting"]["message"]
    space.apply(CONFIG)
    space.running("app")


def test_files_from_every_source(space: Space, tmp_path: Path):
    volumes = [
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "about", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "host", "hostPath": {"path": str(tmp_path / "shared"), "type": "DirectoryOrCreate"}},
        {"name": "all", "projected": {"sources": [
            {"configMap": {"name": "conf", "items": [{"key": "file", "path": "a/b"}]}}, {"secret": {"name": "keys"}}]}},
    ]  # fmt: skip
    mounts = [{"name": item["name"], "mountPath": f"/v/{item['name']}"} for item in volumes]
    mounts.append({"name": "conf", "mountPath": "/etc/one-file", "subPath": "file"})
    space.apply(CONFIG, SECRET, pod("app", pause(volumeMounts=mounts), volumes=volumes))
    space.running("app")
    assert space.exec("app", "cat", "/v/conf/file", "/etc/one-file", "/v/all/a/b") == "text\n" * 3
    assert space.exec("app", "cat", "/v/keys/TOKEN", "/v/all/TOKEN") == "s3cret-in-a-pod" * 2
    assert space.exec("app", "stat", "-L", "-c", "%a", "/v/keys/TOKEN") == "400\n"
    assert 'app="app"' in space.exec("app", "cat", "/v/about/labels")
    assert "tmpfs" in space.exec("app", "sh", "-c", "grep ' /v/ram ' /proc/mounts")
    full = space.cluster.kubectl_fails(
        "-n", space.namespace, "exec", "app", "--", "dd", "if=/dev/zero", "of=/v/ram/x", "bs=1M", "count=2"
    )
    assert "No space left" in full.stderr
    space.exec("app", "sh", "-c", "echo out > /v/host/file")
    assert (tmp_path / "shared/file").read_text() == "out\n"


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory of the machine on which mounts are shared, as systemd makes all of them."""
    path = tmp_path / "shared"
    path.mkdir()
    _mount(path)
    subprocess.run(["mount", "--make-shared", str(path)], check=True)
    yield path
    mounts.unmount_below(tmp_path)


def _mount(path: Path) -> None:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "test", str(path)], check=True)


def test_mounts_go_where_a_pod_lets_them(space: Space, shared: Path):
    volumes = [{"name": "host", "hostPath": {"path": str(shared)}}]

    def sharing(name: str, propagation: str, **fields: object) -> dict[str, object]:
        mount = {"name": "host", "mountPath": "/host", "mountPropagation": propagation}
        return pod(name, pause(volumeMounts=[mount], **fields), volumes=volumes)

    space.apply(
        sharing("both", "Bidirectional", securityContext={"privileged": True, "allowPrivilegeEscalation": True}),
        sharing("takes", "HostToContainer"),
        sharing("alone", "None"),
    )
    for name in ("both", "takes", "alone"):
        space.running(name)
    _mount(shared / "of-host")
    (shared / "of-host" / "x").write_text("host\n")
    space.exec(
        "both", "sh", "-c", "mkdir /host/of-pod && mount -t tmpfs test /host/of-pod && echo pod > /host/of-pod/x"
    )
    assert (shared / "of-pod" / "x").read_text() == "pod\n"
    for name in ("both", "takes"):
        assert space.exec(name, "cat", "/host/of-host/x", "/host/of-pod/x") == "host\npod\n"
    assert space.exec("alone", "ls", "/host/of-host", "/host/of-pod").split() == ["/host/of-host:", "/host/of-pod:"]
    narrow = sharing("narrow", "Bidirectional")
    refused = space.cluster.kubectl_fails("-n", space.namespace, "apply", "-f", "-", stdin=json.dumps(narrow))
    assert "Bidirectional mount propagation is available only to privileged containers" in refused.stderr


def test_a_claim_keeps_its_data_when_the_pod_goes(space: Space):
    mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    space.apply(claim("data"), pod("one", shell("echo kept > /data/file; exec pause", **mounted), volumes=volumes))
    space.running("one")
    assert space.get("persistentvolumeclaims", "data")["status"]["phase"] == "Bound"
    until(lambda: space.exec("one", "cat", "/data/file") == "kept\n")
    space.kubectl("delete", "pod", "one")
    space.apply(pod("two", shell("cat /data/file; exec pause", **mounted), volumes=volumes))
    space.running("two")
    assert space.logs("two") == "kept\n"
    volume = space.get("persistentvolumeclaims", "data")["spec"]["volumeName"]
    space.kubectl("delete", "pvc", "data", "--wait=false")
    assert "deletionTimestamp" in space.get("persistentvolumeclaims", "data")["metadata"], "a claim in use must stay"
    space.kubectl("delete", "pod", "two")
    until(lambda: not space.list("persistentvolumeclaims"))
    until(lambda: volume not in space.kubectl("get", "pv", "-o", "name"), what="the volume stays")
    until(lambda: not any(volume in str(path) for path in space.cluster.machine.volumes_dir.rglob("*")))


def test_secrets_lie_in_memory_only_and_never_in_logs(space: Space):
    secret = "e2e-very-secret-" + space.namespace
    space.apply(
        {**SECRET, "stringData": {"TOKEN": secret}},
        pod("app", pause(env=[{"name": "T", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}}],
            volumeMounts=[{"name": "keys", "mountPath": "/keys"}]), volumes=[{"name": "keys", "secret": {"secretName": "keys"}}]),
    )  # fmt: skip
    space.running("app")
    assert "tmpfs" in space.exec("app", "sh", "-c", "grep ' /keys ' /proc/mounts")
    needles = (secret, base64.b64encode(secret.encode()).decode())
    found = []
    for directory in (space.cluster.machine.logs, space.cluster.machine.pod_logs, space.cluster.machine.agent_dir):
        found += _files_with(space, str(directory), needles)
    # The runtime keeps the environment of a container in its own specification; that is the pod's choice, hence the volume.
    assert [path for path in found if "/containerd/" not in path] == []


def _files_with(space: Space, directory: str, needles: tuple[str, ...]) -> list[str]:
    patterns = [word for needle in needles for word in ("-e", needle)]
    words = ["find", directory, "-xdev", "-type", "f", "-exec", "grep", "-laF", *patterns, "{}", "+"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
