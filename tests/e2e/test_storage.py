"""Volumes that belong to a pod, that belong to one pod alone, and that grow."""

from e2e.cluster import until
from e2e.space import Space, pod, shell

TEMPLATE = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}}
MOUNT = [{"name": "data", "mountPath": "/data"}]


def claim(name: str, **spec: object) -> dict[str, object]:
    spec = {**TEMPLATE["spec"], **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def test_an_ephemeral_volume_comes_and_goes_with_its_pod(space: Space):
    volumes = [{"name": "data", "ephemeral": {"volumeClaimTemplate": TEMPLATE}}]
    space.apply(claim("web-data"), pod("web", shell("echo hello > /data/x; exec pause", volumeMounts=MOUNT), volumes=volumes))  # fmt: skip
    until(lambda: any("pod is not owner" in each for each in space.events("web")), what="no word of the other's claim")
    space.kubectl("delete", "pvc", "web-data")
    space.running("web")
    assert space.exec("web", "cat", "/data/x") == "hello\n"
    volume = space.get("persistentvolumeclaims", "web-data")["spec"]["volumeName"]
    space.kubectl("delete", "pvc", "web-data", "--wait=false")
    assert space.get("persistentvolumeclaims", "web-data")["metadata"]["deletionTimestamp"]
    assert space.exec("web", "cat", "/data/x") == "hello\n"
    space.kubectl("delete", "pod", "web")
    until(lambda: volume not in space.kubectl("get", "pv", "-o", "name"), what="the volume stays")


def test_a_claim_grows_while_it_is_used_and_stays_for_its_only_pod(space: Space):
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "one"}}]
    users = [pod(name, shell("date > /data/x; exec pause", volumeMounts=MOUNT), volumes=volumes) for name in ("a", "b")]
    space.apply(claim("one", accessModes=["ReadWriteOncePod"]), users[0])
    space.running("a")
    space.apply(users[1])
    taken = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    space.wait("pods", "b", lambda found: taken in found["status"]["conditions"][0]["message"])
    space.kubectl("patch", "pvc", "one", "-p", '{"spec": {"resources": {"requests": {"storage": "20Mi"}}}}')
    space.wait("persistentvolumeclaims", "one", lambda found: found["status"]["capacity"]["storage"] == "20Mi")
    space.kubectl("delete", "pod", "a")
    space.running("b")
