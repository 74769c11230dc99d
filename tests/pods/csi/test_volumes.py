"""The CSI volumes of a node against a real driver on a real socket, mounts included."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from motet.base.clock import SystemClock
from motet.pods import mounts
from motet.pods.csi import request
from motet.pods.csi.volumes import CsiVolumes, Registered
from motet.pods.sources import AttachmentView, ClaimView, DriverSpec, VolumeView
from motet.pods.spec import Pod, TokenProjection
from motet.runtime.csi import CsiFailure, Driver
from motet.runtime.interface import RuntimeFailure
from support.csidriver import CsiDriver, calls, named
from support.pods import pod

pytestmark = pytest.mark.node
NAME = "test.csi.example"


class Api:
    """What the node asks of the API."""

    def __init__(self) -> None:
        self.options = DriverSpec(attach_required=False)
        self.secrets: dict[tuple[str, str], dict[str, bytes]] = {}
        self.attachments: dict[str, AttachmentView] = {}
        self.written: list[tuple[str, str, dict[str, Any]]] = []

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self.secrets.get((namespace, name))

    async def csi_driver(self, name: str) -> DriverSpec:
        return self.options

    async def attachment(self, name: str) -> AttachmentView | None:
        return self.attachments.get(name)

    async def issued(self, pod: Pod, wanted: TokenProjection) -> tuple[str, float]:
        return f"token for {wanted.audience}", 1_767_225_600.0

    async def grown(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        self.written.append((namespace, name, status))


class World:
    """A driver, and agents of one node one after the other."""

    def __init__(self, root: Path, driver: CsiDriver) -> None:
        self.root, self.driver, self.api = root, driver, Api()
        self.drivers: dict[str, Registered] = {}
        self.csi = self.agent()

    def agent(self) -> CsiVolumes:
        """A new one, which knows nothing but what is on the disk."""
        self.csi = CsiVolumes(self.root, self.api, SystemClock(), "n1", self.drivers)
        return self.csi

    async def register(self) -> None:
        client = Driver(str(self.driver.endpoint))
        self.drivers[NAME] = Registered(client, await client.node_info())

    @property
    def names(self) -> list[str]:
        return [name.removesuffix("Volume").removeprefix("Node") for name in named(self.driver.base)]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A socket's path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="csi", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
async def world(short_path: Path) -> AsyncIterator[World]:
    driver = CsiDriver(short_path / "driver", short_path / "kubelet", NAME)
    await driver.start()
    made = World(short_path / "kubelet", driver)
    await made.register()
    yield made
    await made.drivers[NAME].driver.close()
    await driver.stop()
    left = mounts.below(short_path)
    for point in left:
        mounts.unmount(point)
    assert left == []


def wanted(
    handle: str = "vol-1", *, claim: ClaimView | None = None, capacity: str = "1Gi", **csi: Any
) -> request.Wanted:
    spec = {
        "csi": {"driver": NAME, "volumeHandle": handle, "volumeAttributes": {"a": "b"}, **csi},
        "accessModes": ["ReadWriteOnce"],
        "mountOptions": ["noatime"],
        "capacity": {"storage": capacity},
    }
    volume = msgspec.convert({"metadata": {"name": f"pv-{handle}"}, "spec": spec}, VolumeView)
    return request.persistent(volume, claim or bound(), read_only=False)


def bound(storage: str = "1Gi", mode: str = "Filesystem") -> ClaimView:
    status = {"phase": "Bound", "capacity": {"storage": storage}, "conditions": [{"type": "FileSystemResizePending"}]}
    return msgspec.convert({"metadata": {"name": "c"}, "spec": {"volumeMode": mode}, "status": status}, ClaimView)


def a_pod(uid: str = "u1", **spec: Any) -> Pod:
    return pod(uid=uid, **spec)


async def test_a_volume_is_staged_once_and_published_for_each_pod_and_taken_back_in_reverse(world: World):
    first = await world.csi.mount(a_pod("u1"), "v", wanted())
    second = await world.csi.mount(a_pod("u2"), "v", wanted())
    (first / "x").write_text("shared")
    assert (second / "x").read_text() == "shared"
    assert first == world.root / "pods/u1/volumes/kubernetes.io~csi/pv-vol-1/mount"
    await world.csi.unmount("u1")
    assert (second / "x").read_text() == "shared"
    await world.csi.unmount("u2")
    assert world.names == ["Stage", "Publish", "Publish", "Unpublish", "Unpublish", "Unstage"]
    assert world.csi.uids() == []
    assert not list(world.root.glob("plugins/kubernetes.io/csi/*/*"))


async def test_a_driver_is_told_all_that_the_volume_says(world: World):
    world.api.secrets = {("ns", "s"): {"key": b"s3cret"}, ("ns", "p"): {"key": b"other"}}
    secrets = {"nodeStageSecretRef": {"name": "s", "namespace": "ns"}, "nodePublishSecretRef": {"name": "p", "namespace": "ns"}}  # fmt: skip
    await world.csi.mount(a_pod(), "v", wanted(fsType="ext4", **secrets))
    stage, publish = calls(world.driver.base, "NodeStageVolume", "NodePublishVolume")
    how = {"mount": {"fs_type": "ext4", "mount_flags": ["noatime"]}, "access_mode": {"mode": 1}}
    assert stage["volume_capability"] == publish["volume_capability"] == how
    assert (stage["secrets"], publish["secrets"]) == ({"key": "s3cret"}, {"key": "other"})
    assert stage["volume_context"] == {"a": "b"}
    assert publish["staging_target_path"] == stage["staging_target_path"]
    assert not [file for file in world.root.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]
    await world.csi.unmount("u1")


async def test_a_driver_that_asks_for_it_is_told_of_the_pod_and_given_its_tokens(world: World):
    spec = {"attachRequired": False, "podInfoOnMount": True, "tokenRequests": [{"audience": "vault"}]}
    world.api.options = msgspec.convert(spec, DriverSpec)
    await world.csi.mount(a_pod(serviceAccountName="sa"), "v", wanted())
    (publish,) = calls(world.driver.base, "NodePublishVolume")
    context = publish["volume_context"]
    assert context["csi.storage.k8s.io/pod.name"] == "web"
    assert context["csi.storage.k8s.io/serviceAccount.name"] == "sa"
    assert context["csi.storage.k8s.io/ephemeral"] == "false"
    tokens = msgspec.json.decode(context["csi.storage.k8s.io/serviceAccount.tokens"])
    assert tokens == {"vault": {"token": "token for vault", "expirationTimestamp": "2026-01-01T00:00:00Z"}}
    await world.csi.unmount("u1")


async def test_a_volume_that_a_pod_brings_itself_is_only_published(world: World):
    world.api.options = DriverSpec(volume_lifecycle_modes=("Ephemeral",))
    brought = msgspec.convert({"name": "v", "csi": {"driver": NAME, "readOnly": True}}, dict[str, Any])
    user = a_pod(volumes=[brought])
    source = (user.spec.volumes or ())[0].csi
    assert source is not None
    await world.csi.mount(user, "v", request.inline(user, "v", source))
    await world.csi.unmount("u1")
    assert world.names == ["Publish", "Unpublish"]
    assert calls(world.driver.base, "NodePublishVolume")[0]["readonly"] is True


async def test_the_files_are_given_to_the_pods_group(world: World):
    world.api.options = DriverSpec(attach_required=False, fs_group_policy="File")
    at = await world.csi.mount(a_pod(securityContext={"fsGroup": 77}), "v", wanted())
    assert at.stat().st_gid == 77
    await world.csi.unmount("u1")


async def test_a_driver_that_is_not_there_is_named_and_nothing_is_left(world: World):
    world.drivers.clear()
    with pytest.raises(RuntimeFailure, match=f"driver name {NAME} not found in the list of registered CSI drivers"):
        await world.csi.mount(a_pod(), "v", wanted())
    assert world.csi.uids() == []
    await world.csi.unmount("u1")
    await world.register()


async def test_what_a_driver_refuses_is_told_in_its_words(world: World):
    (world.driver.base / "fail-NodeStageVolume").write_text("no such disk")
    with pytest.raises(CsiFailure, match="rpc error: code = INTERNAL desc = no such disk"):
        await world.csi.mount(a_pod(), "v", wanted())
    await world.csi.unmount("u1")
    assert world.names == ["Stage", "Unpublish", "Unstage"]
    assert world.csi.uids() == []


@pytest.mark.parametrize("method", ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"])
async def test_an_agent_that_dies_in_any_call_leaves_the_next_one_all_it_needs(world: World, method: str):
    hold = world.driver.base / f"hold-{method}"
    hold.touch()
    if method.startswith("NodeUn"):
        await world.csi.mount(a_pod(), "v", wanted())
        work = asyncio.ensure_future(world.csi.unmount("u1"))
    else:
        work = asyncio.ensure_future(world.csi.mount(a_pod(), "v", wanted()))
    while not calls(world.driver.base, method):
        await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    hold.unlink()
    assert world.agent().uids() == ["u1"]
    await world.csi.unmount("u1")
    assert world.csi.uids() == []
    assert not list(world.root.glob("plugins/kubernetes.io/csi/*/*"))


async def test_a_new_agent_asks_nothing_again_of_what_is_in_its_place(world: World):
    await world.csi.mount(a_pod(), "v", wanted())
    await world.agent().mount(a_pod(), "v", wanted())
    assert world.names == ["Stage", "Publish"]
    # As after the machine was off: the records are there, the mounts are not.
    for point in mounts.below(world.root):
        mounts.unmount(point)
    at = await world.agent().mount(a_pod(), "v", wanted())
    assert mounts.mounted(at)
    assert world.names == ["Stage", "Publish", "Stage", "Publish"]
    await world.csi.unmount("u1")


async def test_a_volume_is_touched_only_when_it_is_attached_and_known_to_be_in_use(world: World):
    world.api.options = DriverSpec()
    told: list[list[str]] = []

    async def announce() -> None:
        told.append(world.csi.in_use())
        status = {"attached": True, "attachmentMetadata": {"device": "/dev/x"}}
        view = msgspec.convert({"metadata": {"name": "a"}, "status": status}, AttachmentView)
        world.api.attachments[request.attachment_name("vol-1", NAME, "n1")] = view

    world.csi.announce = announce
    await world.csi.mount(a_pod(), "v", wanted())
    assert told == [[f"kubernetes.io/csi/{NAME}^vol-1"]]
    stage, publish = calls(world.driver.base, "NodeStageVolume", "NodePublishVolume")
    assert stage["publish_context"] == publish["publish_context"] == {"device": "/dev/x"}
    await world.csi.unmount("u1")
    assert told[-1] == []


async def test_a_volume_that_has_grown_lets_its_file_system_and_claim_grow(world: World):
    small = bound("1Gi")
    await world.csi.mount(a_pod(), "v", wanted())
    await world.csi.refresh(a_pod(), "v", wanted(capacity="2Gi"), small)
    (asked,) = calls(world.driver.base, "NodeExpandVolume")
    assert asked["capacity_range"] == {"required_bytes": 2 << 30}
    assert world.api.written == [("default", "c", {"capacity": {"storage": "2Gi"}, "conditions": None})]
    await world.csi.refresh(a_pod(), "v", wanted(capacity="2Gi"), bound("2Gi"))
    assert len(calls(world.driver.base, "NodeExpandVolume")) == 1
    await world.csi.unmount("u1")


async def test_a_driver_that_wants_it_is_asked_again_and_again(world: World):
    world.api.options = DriverSpec(attach_required=False, requires_republish=True)
    await world.csi.mount(a_pod(), "v", wanted())
    await world.csi.refresh(a_pod(), "v", wanted())
    assert world.names == ["Stage", "Publish", "Publish"]
    await world.csi.unmount("u1")


async def test_a_driver_says_how_full_a_volume_is(world: World):
    await world.csi.mount(a_pod(), "v", wanted())
    (found,) = await world.csi.usage("u1")
    assert (found.volume, found.claim, found.usage.total_bytes, found.usage.used_bytes) == ("v", "c", 1 << 30, 1 << 20)
    await world.csi.unmount("u1")


async def test_a_device_comes_to_be_where_drivers_look_for_it(world: World):
    world.driver.block = "/dev/null"
    device = bound(mode="Block")
    at = await world.csi.mount(a_pod(), "v", wanted(claim=device))
    assert at == world.root / "plugins/kubernetes.io/csi/volumeDevices/publish/pv-vol-1/u1"
    assert at.is_char_device()
    assert calls(world.driver.base, "NodeStageVolume")[0]["volume_capability"] == {
        "block": {},
        "access_mode": {"mode": 1},
    }
    await world.csi.unmount("u1")
    assert not at.exists()
