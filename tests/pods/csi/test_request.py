from __future__ import annotations

from typing import Any

import msgspec
import pytest

from motet.pods.csi import request
from motet.pods.sources import ClaimView, DriverSpec, VolumeView
from motet.pods.spec import CsiVolume
from motet.runtime.csi import AccessMode, NodeCapability
from support.pods import pod


def volume(*modes: str, **csi: Any) -> VolumeView:
    source = {"driver": "d", "volumeHandle": "h", **csi}
    spec = {"csi": source, "accessModes": modes or ("ReadWriteOnce",), "capacity": {"storage": "2Gi"}}
    return msgspec.convert({"metadata": {"name": "pv"}, "spec": spec}, VolumeView)


def claim(storage: str = "1Gi", mode: str = "Filesystem") -> ClaimView:
    status = {"phase": "Bound", "capacity": {"storage": storage}}
    return msgspec.convert({"metadata": {"name": "c"}, "spec": {"volumeMode": mode}, "status": status}, ClaimView)


def wanted(*modes: str, read_only: bool = False, **csi: Any) -> request.Wanted:
    return request.persistent(volume(*modes, **csi), claim(), read_only=read_only)


@pytest.mark.parametrize(
    ("modes", "tells", "expected"),
    [
        (["ReadWriteOnce", "ReadWriteMany"], False, AccessMode.SINGLE_NODE_WRITER),
        (["ReadWriteOnce"], True, AccessMode.SINGLE_NODE_MULTI_WRITER),
        (["ReadWriteOncePod"], True, AccessMode.SINGLE_NODE_SINGLE_WRITER),
        (["ReadWriteOncePod"], False, AccessMode.SINGLE_NODE_WRITER),
        (["ReadOnlyMany"], False, AccessMode.MULTI_NODE_READER_ONLY),
        (["ReadWriteMany"], True, AccessMode.MULTI_NODE_MULTI_WRITER),
    ],
)
def test_the_first_access_mode_is_what_the_driver_is_told(modes: list[str], tells: bool, expected: AccessMode):
    capabilities = {NodeCapability.SINGLE_NODE_MULTI_WRITER} if tells else set()
    assert request.access(wanted(*modes), capabilities, None).mode == expected


@pytest.mark.parametrize(
    ("policy", "modes", "fs_type", "expected"),
    [
        ("ReadWriteOnceWithFSType", ["ReadWriteOnce"], "ext4", True),
        ("ReadWriteOnceWithFSType", ["ReadWriteOnce"], "", False),
        ("ReadWriteOnceWithFSType", ["ReadWriteMany"], "ext4", False),
        ("File", ["ReadWriteMany"], "", True),
        ("None", ["ReadWriteOnce"], "ext4", False),
    ],
)
def test_the_driver_says_when_the_node_gives_files_to_the_group(
    policy: str, modes: list[str], fs_type: str, expected: bool
):
    options = DriverSpec(fs_group_policy=policy)
    assert request.owned_by_group(wanted(*modes, fsType=fs_type), options, ()) is expected


def test_a_driver_that_mounts_for_a_group_is_told_the_group_and_nothing_is_changed_after_it():
    capabilities = {NodeCapability.VOLUME_MOUNT_GROUP}
    assert request.access(wanted(), capabilities, 7).mount_group == "7"
    assert not request.owned_by_group(wanted(), DriverSpec(fs_group_policy="File"), capabilities)


def test_a_volume_for_reading_is_not_given_to_anybody():
    assert not request.owned_by_group(wanted(read_only=True), DriverSpec(fs_group_policy="File"), ())


def test_a_driver_serves_volumes_of_pods_only_if_it_says_so():
    inline = request.inline(pod(), "v", CsiVolume(driver="d"))
    assert request.refusal(inline, DriverSpec()) == (
        'volume mode "Ephemeral" not supported by driver d (only supports ["Persistent"])'
    )
    assert request.refusal(inline, DriverSpec(volume_lifecycle_modes=("Ephemeral",))) == ""
    assert "Persistent" in request.refusal(wanted(), DriverSpec(volume_lifecycle_modes=("Ephemeral",)))


def test_a_volume_has_outgrown_its_claim_only_for_a_driver_that_wants_to_know():
    assert request.outgrown(wanted(), claim("1Gi"), {NodeCapability.EXPAND_VOLUME})
    assert not request.outgrown(wanted(), claim("2048Mi"), {NodeCapability.EXPAND_VOLUME})
    assert not request.outgrown(wanted(), claim("1Gi"), ())


def test_an_attachment_has_the_name_that_every_attacher_looks_for():
    # sha256("vol" "driver" "node"), as upstream's in-tree plugin names them.
    assert request.attachment_name("vol", "driver", "node") == (
        "csi-4af94228ee9d441e02225497584706bfc975bdb4d2db3571d8c5db2668c1e969"
    )
