"""Container Storage Interface: what a node asks of a driver for volumes, over the driver's gRPC socket.

The messages are a table of the fields in use (package `csi.v1` of the CSI specification, and the kubelet's
`pluginregistration`, through which drivers make themselves known). Every call may be repeated: the specification has drivers
answer the second one like the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import grpc
import grpc.aio

from motet.runtime import messages
from motet.runtime.channel import dial
from motet.runtime.interface import RuntimeFailure

# In seconds. Mounting may mean making a file system first; upstream's bound is the same.
_PATIENCE = 120.0
_SHORT_PATIENCE = 10.0


class AccessMode(IntEnum):
    """`VolumeCapability.AccessMode.Mode`."""

    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7


class NodeCapability(IntEnum):
    """`NodeServiceCapability.RPC.Type`."""

    STAGE_UNSTAGE_VOLUME = 1
    GET_VOLUME_STATS = 2
    EXPAND_VOLUME = 3
    VOLUME_CONDITION = 4
    SINGLE_NODE_MULTI_WRITER = 5
    VOLUME_MOUNT_GROUP = 6


_BYTES, _INODES = 1, 2

MESSAGES: messages.Tables = {
    # pluginregistration
    "InfoRequest": {},
    "PluginInfo": {
        "type": (1, "string"),
        "name": (2, "string"),
        "endpoint": (3, "string"),
        "supported_versions": (4, "*string"),
    },
    "RegistrationStatus": {"plugin_registered": (1, "bool"), "error": (2, "string")},
    "RegistrationStatusResponse": {},
    # csi.v1, what both sides of it say
    "Empty": {},
    "GetPluginInfoResponse": {"name": (1, "string"), "vendor_version": (2, "string")},
    "BlockVolume": {},
    "MountVolume": {"fs_type": (1, "string"), "mount_flags": (2, "*string"), "volume_mount_group": (3, "string")},
    "AccessMode": {"mode": (1, "int32")},
    "VolumeCapability": {"block": (1, "BlockVolume"), "mount": (2, "MountVolume"), "access_mode": (3, "AccessMode")},
    "CapacityRange": {"required_bytes": (1, "int64"), "limit_bytes": (2, "int64")},
    "Topology": {"segments": (1, "map")},
    # csi.v1.Node
    "NodeGetInfoResponse": {
        "node_id": (1, "string"),
        "max_volumes_per_node": (2, "int64"),
        "accessible_topology": (3, "Topology"),
    },
    "NodeRpc": {"type": (1, "int32")},
    "NodeServiceCapability": {"rpc": (1, "NodeRpc")},
    "NodeGetCapabilitiesResponse": {"capabilities": (1, "*NodeServiceCapability")},
    "NodeStageVolumeRequest": {
        "volume_id": (1, "string"),
        "publish_context": (2, "map"),
        "staging_target_path": (3, "string"),
        "volume_capability": (4, "VolumeCapability"),
        "secrets": (5, "map"),
        "volume_context": (6, "map"),
    },
    "NodeUnstageVolumeRequest": {"volume_id": (1, "string"), "staging_target_path": (2, "string")},
    "NodePublishVolumeRequest": {
        "volume_id": (1, "string"),
        "publish_context": (2, "map"),
        "staging_target_path": (3, "string"),
        "target_path": (4, "string"),
        "volume_capability": (5, "VolumeCapability"),
        "readonly": (6, "bool"),
        "secrets": (7, "map"),
        "volume_context": (8, "map"),
    },
    "NodeUnpublishVolumeRequest": {"volume_id": (1, "string"), "target_path": (2, "string")},
    "NodeGetVolumeStatsRequest": {
        "volume_id": (1, "string"),
        "volume_path": (2, "string"),
        "staging_target_path": (3, "string"),
    },
    "VolumeUsage": {"available": (1, "int64"), "total": (2, "int64"), "used": (3, "int64"), "unit": (4, "int32")},
    "NodeGetVolumeStatsResponse": {"usage": (1, "*VolumeUsage")},
    "NodeExpandVolumeRequest": {
        "volume_id": (1, "string"),
        "volume_path": (2, "string"),
        "capacity_range": (3, "CapacityRange"),
        "staging_target_path": (4, "string"),
        "volume_capability": (5, "VolumeCapability"),
        "secrets": (6, "map"),
    },
    "NodeExpandVolumeResponse": {"capacity_bytes": (1, "int64")},
}

MESSAGE: dict[str, Any] = messages.build("motet.csi", MESSAGES)

# method -> (request, response)
METHODS: Mapping[str, tuple[str, str]] = {
    "pluginregistration.Registration/GetInfo": ("InfoRequest", "PluginInfo"),
    "pluginregistration.Registration/NotifyRegistrationStatus": ("RegistrationStatus", "RegistrationStatusResponse"),
    "csi.v1.Identity/GetPluginInfo": ("Empty", "GetPluginInfoResponse"),
    "csi.v1.Node/NodeGetInfo": ("Empty", "NodeGetInfoResponse"),
    "csi.v1.Node/NodeGetCapabilities": ("Empty", "NodeGetCapabilitiesResponse"),
    "csi.v1.Node/NodeStageVolume": ("NodeStageVolumeRequest", "Empty"),
    "csi.v1.Node/NodeUnstageVolume": ("NodeUnstageVolumeRequest", "Empty"),
    "csi.v1.Node/NodePublishVolume": ("NodePublishVolumeRequest", "Empty"),
    "csi.v1.Node/NodeUnpublishVolume": ("NodeUnpublishVolumeRequest", "Empty"),
    "csi.v1.Node/NodeGetVolumeStats": ("NodeGetVolumeStatsRequest", "NodeGetVolumeStatsResponse"),
    "csi.v1.Node/NodeExpandVolume": ("NodeExpandVolumeRequest", "NodeExpandVolumeResponse"),
}


class CsiFailure(RuntimeFailure):
    """A driver refused or did not answer; `reason` is the gRPC status code's name."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What stands behind a socket in the registration directory."""

    type: str
    name: str
    endpoint: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a driver calls this node, what it can do here, how many volumes (0: as many as you like), and where it is."""

    node_id: str
    capabilities: frozenset[int]
    most_volumes: int = 0
    topology: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """How a volume is to be used: `VolumeCapability`. `block` is a device, else a mounted file system."""

    mode: AccessMode
    fs_type: str = ""
    mount_flags: Sequence[str] = ()
    mount_group: str = ""
    block: bool = False

    def message(self) -> Any:
        made = MESSAGE["VolumeCapability"](access_mode={"mode": int(self.mode)})
        if self.block:
            made.block.SetInParent()
        else:
            made.mount.SetInParent()
            made.mount.fs_type = self.fs_type
            made.mount.mount_flags.extend(self.mount_flags)
            made.mount.volume_mount_group = self.mount_group
        return made


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one volume; None where the driver does not say."""

    total_bytes: int | None = None
    used_bytes: int | None = None
    available_bytes: int | None = None
    inodes: int | None = None
    inodes_used: int | None = None
    inodes_free: int | None = None


class _Socket:
    """One gRPC channel to a unix socket."""

    def __init__(self, path: str) -> None:
        self._channel = dial(path)

    async def call(self, method: str, patience: float = _PATIENCE, **fields: Any) -> Any:
        """Raises CsiFailure. Secrets are among the fields, so a failure tells of the method and the driver's words only."""
        request = MESSAGE[METHODS[method][0]](**fields)
        ask = self._channel.unary_unary(f"/{method}", **messages.codec(MESSAGE, METHODS[method]))
        try:
            return await ask(request, timeout=patience, wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            raise CsiFailure(f"rpc error: code = {code} desc = {(error.details() or '').strip()}", code) from error

    async def close(self) -> None:
        await self._channel.close()


class Registrar(_Socket):
    """A socket through which a driver makes itself known (kubelet's "plugin registration")."""

    async def info(self) -> PluginInfo:
        """Raises CsiFailure."""
        told = await self.call("pluginregistration.Registration/GetInfo", _SHORT_PATIENCE)
        return PluginInfo(told.type, told.name, told.endpoint, tuple(told.supported_versions))

    async def notify(self, error: str = "") -> None:
        """Say that it is registered, or why it is not. Raises CsiFailure."""
        method = "pluginregistration.Registration/NotifyRegistrationStatus"
        await self.call(method, _SHORT_PATIENCE, plugin_registered=not error, error=error)


class Driver(_Socket):
    """The node service of one driver. All methods raise CsiFailure; paths are absolute."""

    async def node_info(self) -> NodeInfo:
        told = await self.call("csi.v1.Node/NodeGetInfo", _SHORT_PATIENCE)
        can = await self.call("csi.v1.Node/NodeGetCapabilities", _SHORT_PATIENCE)
        return NodeInfo(
            told.node_id,
            frozenset(each.rpc.type for each in can.capabilities),
            told.max_volumes_per_node,
            dict(told.accessible_topology.segments),
        )

    async def stage(
        self,
        volume: str,
        staging: str,
        access: Access,
        *,
        context: Mapping[str, str],
        publish_context: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> None:
        await self.call(
            "csi.v1.Node/NodeStageVolume",
            volume_id=volume,
            staging_target_path=staging,
            volume_capability=access.message(),
            volume_context=context,
            publish_context=publish_context,
            secrets=secrets,
        )

    async def unstage(self, volume: str, staging: str) -> None:
        await self.call("csi.v1.Node/NodeUnstageVolume", volume_id=volume, staging_target_path=staging)

    async def publish(
        self,
        volume: str,
        target: str,
        access: Access,
        *,
        staging: str,
        read_only: bool,
        context: Mapping[str, str],
        publish_context: Mapping[str, str],
        secrets: Mapping[str, str],
    ) -> None:
        """`staging` is empty for drivers that do not stage."""
        await self.call(
            "csi.v1.Node/NodePublishVolume",
            volume_id=volume,
            target_path=target,
            staging_target_path=staging,
            volume_capability=access.message(),
            readonly=read_only,
            volume_context=context,
            publish_context=publish_context,
            secrets=secrets,
        )

    async def unpublish(self, volume: str, target: str) -> None:
        await self.call("csi.v1.Node/NodeUnpublishVolume", volume_id=volume, target_path=target)

    async def expand(
        self, volume: str, path: str, size: int, access: Access, *, staging: str, secrets: Mapping[str, str]
    ) -> None:
        """Let the file system at `path` grow to `size` bytes."""
        await self.call(
            "csi.v1.Node/NodeExpandVolume",
            volume_id=volume,
            volume_path=path,
            capacity_range={"required_bytes": size},
            staging_target_path=staging,
            volume_capability=access.message(),
            secrets=secrets,
        )

    async def usage(self, volume: str, path: str, staging: str) -> Usage:
        told = await self.call(
            "csi.v1.Node/NodeGetVolumeStats",
            _SHORT_PATIENCE,
            volume_id=volume,
            volume_path=path,
            staging_target_path=staging,
        )
        of = {each.unit: each for each in told.usage}
        room, files = of.get(_BYTES), of.get(_INODES)
        return Usage(
            room.total if room else None,
            room.used if room else None,
            room.available if room else None,
            files.total if files else None,
            files.used if files else None,
            files.available if files else None,
        )
