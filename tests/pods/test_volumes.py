from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from motet.kinds.podmarks import EXPANDED, FILE_OWNERS, VALUES
from motet.pods import mounts
from motet.pods.env import Place
from motet.pods.security import ConfigError
from motet.pods.sources import ClaimView, VolumeView
from motet.pods.spec import Pod, TokenProjection
from motet.pods.volumes import MountFailure, Volumes, check_host_path, common_user
from support.pods import app, pod


class Storage:
    """Sources with ConfigMaps, claims and volumes."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, bytes]] = {}
        self.claims: dict[str, dict[str, Any]] = {}
        self.backing: dict[str, dict[str, Any]] = {}

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self.maps.get(name)

    secret = config_map

    async def claim(self, namespace: str, name: str) -> ClaimView | None:
        return msgspec.convert(self.claims[name], ClaimView) if name in self.claims else None

    async def volume(self, name: str) -> VolumeView | None:
        return msgspec.convert(self.backing[name], VolumeView) if name in self.backing else None

    async def services(self, namespace: str, *, wait: bool = True) -> list[Any]:
        return []

    async def token(self, pod: Pod, wanted: TokenProjection) -> bytes:
        return f"token for {wanted.audience} of {pod.metadata.name}".encode()

    def forget(self, uid: str) -> None:
        pass


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def volumes(tmp_path: Path, storage: Storage) -> Volumes:
    return Volumes(tmp_path / "pods", storage, Place("n1", (), 1000, 1 << 30))


def using(volume: dict[str, Any], **mount: Any) -> Pod:
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    return pod(app(volumeMounts=mounts), volumes=[{"name": "v", **volume}])


async def test_files_of_a_config_belong_to_whom_the_pod_says(volumes: Volumes, storage: Storage):
    storage.maps["c"] = {"a": b"1"}
    wanted = using({"configMap": {"name": "c", "defaultMode": 0o440}})
    wanted = msgspec.structs.replace(
        wanted, metadata=msgspec.structs.replace(wanted.metadata, annotations={FILE_OWNERS: "v=1000:2000"})
    )
    await volumes.prepare(wanted)
    found = (volumes.at(wanted, "v") / "a").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1000, 2000, 0o440)


async def test_files_that_are_filled_in_are_bounded_together(volumes: Volumes, storage: Storage):
    wanted = filled(b"x" * 2**19, storage)
    storage.maps["c"] |= {"a": b'{{config "c"}}', "b": b'{{config "c"}}'}
    with pytest.raises(MountFailure, match="the files of a volume may have 1048576 characters"):
        await volumes.prepare(wanted)


def filled(content: bytes, storage: Storage, **annotations: str) -> Pod:
    """A pod with a config at /c to be filled in, beside a secret and a variable."""
    storage.maps |= {"c": {"content": content}, "s": {"content": b"hush"}}
    volumes = [
        {"name": "config-0", "configMap": {"name": "c"}},
        {"name": "secret-0", "secret": {"secretName": "s"}},
    ]
    mounts = [
        {"name": "config-0", "mountPath": "/c", "subPath": "content"},
        {"name": "secret-0", "mountPath": "/run/secrets/key", "subPath": "content"},
    ]
    made = pod(app(volumeMounts=mounts, env=[{"name": "A", "value": "1"}]), volumes=volumes)
    marks = {EXPANDED: "config-0", VALUES: '{"plain":{".Task.Slot":"3"},"labels":{"tier":"front"}}', **annotations}
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, annotations=marks))


async def test_placeholders_of_a_config_are_filled_in_on_a_tmpfs(volumes: Volumes, storage: Storage):
    text = b'{{.Node.Hostname}} {{ .Task.Slot }} {{.Service.Labels.tier}} {{env "A"}}{{env "B"}} {{secret "key"}} {{config "c"}}'
    wanted = filled(text, storage)
    await volumes.prepare(wanted)
    try:
        directory = volumes.at(wanted, "config-0")
        assert (directory / "content").read_text() == f"n1 3 front 1 hush {text.decode()}"
        assert mounts.mounted(directory)
        assert (volumes.at(wanted, "secret-0") / "content").read_text() == "hush"
    finally:
        await volumes.teardown(wanted.metadata.uid, everything=True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{{.Node.ID}}", "there is nothing to put in for {{.Node.ID}}"),
        (b'{{secret "other"}}', 'the container has no secret "other"'),
        (b"\xff{{.Task.Slot}}", "must be text"),
        (b'{{config "c"}}' * 1000, "the files of a volume may have 1048576 characters"),
    ],
)
async def test_what_cannot_be_filled_in_is_said(volumes: Volumes, storage: Storage, content: bytes, why: str):
    with pytest.raises(MountFailure, match=why):
        await volumes.prepare(filled(content, storage))


def having(volume: dict[str, Any]) -> Pod:
    devices = [{"name": "v", "devicePath": "/dev/mine"}]
    return pod(app(volumeDevices=devices), volumes=[{"name": "v", **volume}])


async def test_a_device_of_the_node_is_the_containers_by_its_type(volumes: Volumes):
    given = having({"hostPath": {"path": "/dev/null", "type": "CharDevice"}})
    await volumes.prepare(given)
    assert volumes.devices(given, given.spec.containers[0]) == (("/dev/null", "/dev/mine", "mrw"),)


@pytest.mark.parametrize("kind", ["", "File"])
async def test_a_path_that_does_not_say_that_it_is_a_device_is_none(volumes: Volumes, tmp_path: Path, kind: str):
    (tmp_path / "file").touch()
    given = having({"hostPath": {"path": "/dev/null" if not kind else str(tmp_path / "file"), "type": kind}})
    await volumes.prepare(given)
    with pytest.raises(ConfigError, match='volume "v" is no device'):
        volumes.devices(given, given.spec.containers[0])


async def test_an_empty_directory_is_open_to_every_user(volumes: Volumes):
    wanted = using({"emptyDir": {}})
    await volumes.prepare(wanted)
    assert volumes.at(wanted, "v").stat().st_mode & 0o777 == 0o777
    (mount,) = await volumes.mounts(wanted, wanted.spec.containers[0], {})
    assert (mount.host_path, mount.read_only) == (str(volumes.at(wanted, "v")), False)


async def test_preparing_again_keeps_what_was_written(volumes: Volumes):
    wanted = using({"emptyDir": {}})
    await volumes.prepare(wanted)
    (volumes.at(wanted, "v") / "file").write_text("kept")
    await volumes.prepare(wanted)
    assert (volumes.at(wanted, "v") / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"configMap": {"name": "yes", "items": [{"key": "x", "path": "x"}]}}, "non-existent configmap key: x"),
        ({"configMap": {"name": "yes", "items": [{"key": "a", "path": "../x"}]}}, "must not contain"),
        ({"persistentVolumeClaim": {"claimName": "no"}}, 'persistentvolumeclaim "no" not found'),
        ({"persistentVolumeClaim": {"claimName": "loose"}}, "not bound"),
        (
            {"persistentVolumeClaim": {"claimName": "going"}},
            "can't start pod because PVC default/going is being deleted",
        ),
        ({"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}}, "cannot be used"),
        ({"projected": {"sources": [{"serviceAccountToken": {"path": "../t"}}]}}, "must not contain"),
    ],
)
async def test_what_cannot_be_mounted_says_why(
    volumes: Volumes, storage: Storage, volume: dict[str, Any], message: str
):
    storage.maps["yes"] = {"a": b"1"}
    storage.claims["loose"] = {"metadata": {"name": "loose"}}
    storage.claims["going"] = {"metadata": {"name": "going", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    with pytest.raises(MountFailure, match=message):
        await volumes.prepare(using(volume))


async def test_an_optional_source_that_is_missing_is_an_empty_volume(volumes: Volumes):
    wanted = using({"configMap": {"name": "no", "optional": True}})
    await volumes.prepare(wanted)
    assert [path for path in volumes.at(wanted, "v").iterdir() if not path.name.startswith("..")] == []


async def test_a_projected_volume_joins_its_sources(volumes: Volumes, storage: Storage):
    storage.maps["one"] = {"a": b"1"}
    label = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
    wanted = using({"projected": {"sources": [{"configMap": {"name": "one"}}, {"downwardAPI": {"items": [label]}}]}})
    await volumes.prepare(wanted)
    at = volumes.at(wanted, "v")
    assert ((at / "a").read_text(), (at / "name").read_text()) == ("1", "web")


TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "api"}}]}}


@pytest.mark.node
@pytest.mark.parametrize(
    ("context", "mode", "owner", "group"),
    [({}, 0o644, 0, 0), ({"runAsUser": 7}, 0o600, 7, 0), ({"fsGroup": 9}, 0o640, 0, 9)],
)
async def test_a_token_lies_in_memory_and_is_read_by_those_who_run_the_pod(
    volumes: Volumes, context: dict[str, int], mode: int, owner: int, group: int
):
    mount = {"name": "v", "mountPath": "/v"}
    wanted = pod(app(volumeMounts=[mount]), volumes=[{"name": "v", **TOKEN}], securityContext=context)
    try:
        await volumes.prepare(wanted)
        file = volumes.at(wanted, "v") / "token"
        assert file.read_text() == "token for api of web"
        found = file.stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (mode, owner, group)
        assert mounts.mounted(volumes.at(wanted, "v"))
    finally:
        await volumes.teardown(wanted.metadata.uid, everything=True)


def test_a_token_belongs_to_a_user_only_if_all_containers_are_that_user():
    seven, eight = {"securityContext": {"runAsUser": 7}}, {"securityContext": {"runAsUser": 8}}
    assert common_user(pod(app(**seven), securityContext={"runAsUser": 8})) == 7
    assert common_user(pod(app(**seven), {"name": "b", **eight})) is None
    assert common_user(pod(app(**seven), {"name": "b"})) is None


async def test_a_refresh_brings_the_new_version(volumes: Volumes, storage: Storage):
    storage.maps["live"] = {"a": b"old"}
    wanted = using({"configMap": {"name": "live"}})
    await volumes.prepare(wanted)
    storage.maps["live"] = {"a": b"new"}
    await volumes.refresh(wanted)
    assert (volumes.at(wanted, "v") / "a").read_text() == "new"


async def test_a_local_path_volume_is_made_at_its_first_mount_and_outlives_the_pod(
    volumes: Volumes, storage: Storage, tmp_path: Path
):
    path = tmp_path / "claims" / "one"
    storage.claims["c"] = {"metadata": {}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    storage.backing["pv"] = {
        "metadata": {"finalizers": ["motet.dev/local-path"]},
        "spec": {"local": {"path": str(path)}},
    }
    wanted = using({"persistentVolumeClaim": {"claimName": "c", "readOnly": True}})
    await volumes.prepare(wanted)
    assert path.stat().st_mode & 0o777 == 0o777
    (mount,) = await volumes.mounts(wanted, wanted.spec.containers[0], {})
    assert (mount.host_path, mount.read_only) == (str(path), True)
    await volumes.teardown(wanted.metadata.uid, everything=True)
    assert path.is_dir()
    assert volumes.on_disk() == []


async def test_an_ephemeral_volume_is_a_claim_made_for_this_pod(volumes: Volumes, storage: Storage, tmp_path: Path):
    wanted = using({"ephemeral": {"volumeClaimTemplate": {}}})
    name = f"{wanted.metadata.name}-v"
    bound = {"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    storage.claims[name] = {"metadata": {}, **bound}
    storage.backing["pv"] = {
        "metadata": {"finalizers": ["motet.dev/local-path"]},
        "spec": {"local": {"path": str(tmp_path / "one")}},
    }
    with pytest.raises(MountFailure, match="pod is not owner"):
        await volumes.prepare(wanted)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": wanted.metadata.uid, "controller": True}
    storage.claims[name] = {"metadata": {"ownerReferences": [owner]}, **bound}
    await volumes.prepare(wanted)
    assert (tmp_path / "one").is_dir()


async def test_a_sub_path_that_leads_out_of_its_volume_is_refused(volumes: Volumes):
    wanted = using({"emptyDir": {}}, subPath="link")
    await volumes.prepare(wanted)
    os.symlink("/etc", volumes.at(wanted, "v") / "link")
    with pytest.raises(ConfigError, match="leads outside its volume"):
        await volumes.mounts(wanted, wanted.spec.containers[0], {})


@pytest.mark.parametrize(
    ("kind", "fits"), [("", True), ("Directory", True), ("File", False), ("Socket", False), ("DirectoryOrCreate", True)]
)
def test_host_path_types(tmp_path: Path, kind: str, fits: bool):
    assert (check_host_path(tmp_path, kind) == "") is fits
