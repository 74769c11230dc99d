"""A CSI driver, written for the tests against the specification: identity, node and controller service, and registration.

A volume is a directory below `backing`, a staged or published one a bind mount. What was asked of it is one JSON line per call
in `calls`, so that it can be looked at from another process, and outlives the driver. A file `hold-METHOD` below `base` makes
a call wait until it is gone; `fail-METHOD` makes it fail with what is written there.

    python -m support.csidriver --base DIR --kubelet DIR --name NAME
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from motet.pods import mounts
from motet.runtime import messages
from motet.runtime.csi import MESSAGES, METHODS, NodeCapability

_MORE: messages.Tables = {
    **MESSAGES,
    "ControllerPublishVolumeRequest": {
        "volume_id": (1, "string"),
        "node_id": (2, "string"),
        "volume_capability": (3, "VolumeCapability"),
        "readonly": (4, "bool"),
        "secrets": (5, "map"),
        "volume_context": (6, "map"),
    },
    "ControllerPublishVolumeResponse": {"publish_context": (1, "map")},
    "ControllerUnpublishVolumeRequest": {"volume_id": (1, "string"), "node_id": (2, "string"), "secrets": (3, "map")},
}
MESSAGE = messages.build("tests.csi", _MORE)
_ALL = {
    **METHODS,
    "csi.v1.Controller/ControllerPublishVolume": (
        "ControllerPublishVolumeRequest",
        "ControllerPublishVolumeResponse",
    ),
    "csi.v1.Controller/ControllerUnpublishVolume": ("ControllerUnpublishVolumeRequest", "Empty"),
}

EVERYTHING = (
    NodeCapability.STAGE_UNSTAGE_VOLUME,
    NodeCapability.GET_VOLUME_STATS,
    NodeCapability.EXPAND_VOLUME,
)


class CsiDriver:
    """One driver with all its services. `kubelet` is the root that the node uses; `block` is a device to hand out."""

    def __init__(
        self,
        base: Path,
        kubelet: Path,
        name: str = "test.csi.example",
        *,
        node_id: str = "node-one",
        capabilities: tuple[int, ...] = EVERYTHING,
        topology: dict[str, str] | None = None,
        most: int = 0,
        block: str = "",
    ) -> None:
        self.base, self.name, self.node_id = base, name, node_id
        self.capabilities, self.topology, self.most, self.block = capabilities, topology or {}, most, block
        self.endpoint = kubelet / "plugins" / name / "csi.sock"
        self.registration = kubelet / "plugins_registry" / f"{name}-reg.sock"
        self.notified: list[tuple[bool, str]] = []
        self._servers: list[Any] = []
        (base / "volumes").mkdir(parents=True, exist_ok=True)

    # -- serving ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._serve(self.endpoint, "csi.v1")
        await self._serve(self.registration, "pluginregistration")

    async def _serve(self, path: Path, package: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        server = grpc.aio.server()
        services: dict[str, dict[str, Any]] = {}
        for full, types in _ALL.items():
            service, method = full.split("/")
            if service.startswith(package):
                services.setdefault(service, {})[method] = self._handler(method, *types)
        handlers = [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]
        server.add_generic_rpc_handlers(tuple(handlers))
        server.add_insecure_port(f"unix://{path}")
        await server.start()
        self._servers.append(server)

    def _handler(self, method: str, request: str, response: str) -> Any:
        async def answer(asked: Any, context: Any) -> Any:
            self._note(method, asked)
            while (self.base / f"hold-{method}").exists():
                await asyncio.sleep(0.02)
            failing = self.base / f"fail-{method}"
            if failing.exists():
                await context.abort(grpc.StatusCode.INTERNAL, failing.read_text())
            try:
                return MESSAGE[response](**(getattr(self, method)(asked) or {}))
            except OSError as error:
                await context.abort(grpc.StatusCode.INTERNAL, str(error))

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=MESSAGE[request].FromString,
            response_serializer=MESSAGE[response].SerializeToString,
        )

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop(None)
        self._servers.clear()
        for path in (self.endpoint, self.registration):
            path.unlink(missing_ok=True)

    # -- what was asked --------------------------------------------------------------------------------------------

    def _note(self, method: str, asked: Any) -> None:
        fields = {field.name: _plain(value) for field, value in asked.ListFields()}
        with open(self.base / "calls", "a") as file:
            file.write(json.dumps({"method": method, **fields}) + "\n")

    # -- identity and registration ---------------------------------------------------------------------------------

    def GetInfo(self, asked: Any) -> dict[str, Any]:
        return {
            "type": "CSIPlugin",
            "name": self.name,
            "endpoint": str(self.endpoint),
            "supported_versions": ["1.0.0"],
        }

    def NotifyRegistrationStatus(self, asked: Any) -> None:
        self.notified.append((asked.plugin_registered, asked.error))

    def GetPluginInfo(self, asked: Any) -> dict[str, Any]:
        return {"name": self.name, "vendor_version": "1"}

    # -- node ------------------------------------------------------------------------------------------------------

    def NodeGetInfo(self, asked: Any) -> dict[str, Any]:
        topology = {"accessible_topology": {"segments": self.topology}} if self.topology else {}
        return {"node_id": self.node_id, "max_volumes_per_node": self.most, **topology}

    def NodeGetCapabilities(self, asked: Any) -> dict[str, Any]:
        return {"capabilities": [{"rpc": {"type": int(each)}} for each in self.capabilities]}

    def NodeStageVolume(self, asked: Any) -> None:
        target = Path(asked.staging_target_path)
        if not target.is_dir():
            raise FileNotFoundError(f"{target} is to be made by the caller")
        if not asked.volume_capability.HasField("block") and not mounts.mounted(target):
            mounts.bind(self._data(asked.volume_id), target)

    def NodeUnstageVolume(self, asked: Any) -> None:
        mounts.unmount(Path(asked.staging_target_path))

    def NodePublishVolume(self, asked: Any) -> None:
        target, staging = Path(asked.target_path), asked.staging_target_path
        if asked.volume_capability.HasField("block"):
            target.touch()
            if not mounts.mounted(target):
                mounts.bind(self.block, target)
            return
        if staging and not mounts.mounted(Path(staging)):
            raise FileNotFoundError(f"{staging} is not staged")
        target.mkdir(exist_ok=True)
        if not mounts.mounted(target):
            mounts.bind(staging or self._data(asked.volume_id), target)

    def NodeUnpublishVolume(self, asked: Any) -> None:
        target = Path(asked.target_path)
        mounts.unmount(target)
        if target.is_dir():
            target.rmdir()
        target.unlink(missing_ok=True)

    def NodeGetVolumeStats(self, asked: Any) -> dict[str, Any]:
        found = os.statvfs(asked.volume_path)
        room = {"unit": 1, "total": 1 << 30, "used": 1 << 20, "available": (1 << 30) - (1 << 20)}
        return {"usage": [room, {"unit": 2, "total": found.f_files, "available": found.f_favail}]}

    def NodeExpandVolume(self, asked: Any) -> dict[str, Any]:
        return {"capacity_bytes": asked.capacity_range.required_bytes}

    # -- controller ------------------------------------------------------------------------------------------------

    def ControllerPublishVolume(self, asked: Any) -> dict[str, Any]:
        (self.base / "attached" / asked.node_id).mkdir(parents=True, exist_ok=True)
        (self.base / "attached" / asked.node_id / asked.volume_id).touch()
        return {"publish_context": {"device": f"/dev/{asked.volume_id}"}}

    def ControllerUnpublishVolume(self, asked: Any) -> None:
        (self.base / "attached" / asked.node_id / asked.volume_id).unlink(missing_ok=True)

    def _data(self, volume: str) -> Path:
        path = self.base / "volumes" / volume
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
        return path


def calls(base: Path, *methods: str) -> list[dict[str, Any]]:
    """What was asked of the driver, of these methods only if any are named."""
    try:
        lines = (base / "calls").read_text().splitlines()
    except FileNotFoundError:
        return []
    found = [json.loads(line) for line in lines]
    return [each for each in found if not methods or each["method"] in methods]


def named(base: Path) -> list[str]:
    """The methods that change something, in the order they were called."""
    quiet = ("GetInfo", "NotifyRegistrationStatus", "NodeGetInfo", "NodeGetCapabilities", "GetPluginInfo")
    return [each["method"] for each in calls(base) if each["method"] not in quiet]


def ask(endpoint: Path, method: str, **fields: Any) -> Any:
    """One call as a sidecar makes it."""
    with grpc.insecure_channel(f"unix://{endpoint}") as channel:
        call = channel.unary_unary(f"/{method}", **messages.codec(MESSAGE, _ALL[method]))
        return call(MESSAGE[_ALL[method][0]](**fields), timeout=10)


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | bool):
        return value
    if hasattr(value, "ListFields"):
        return {field.name: _plain(inner) for field, inner in value.ListFields()}
    return dict(value) if hasattr(value, "items") else [_plain(each) for each in value]


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--kubelet", type=Path, required=True)
    parser.add_argument("--name", required=True)
    words = parser.parse_args()
    driver = CsiDriver(words.base, words.kubelet, words.name, topology={f"topology.{words.name}/rack": "r1"}, most=2)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await driver.start()
    print("ready", flush=True)
    await ended.wait()
    await driver.stop()


if __name__ == "__main__":
    asyncio.run(_main())
