"""CSI drivers of this node: found by their sockets, registered, and told to the cluster (kubelet's "plugin registration").

A driver puts a socket into `plugins_registry` below the kubelet's root. Behind it is asked who it is and where its own socket
is; then the node's CSINode gets an entry and the node the labels of the driver's topology. A socket that goes takes its
driver with it. How many volumes the node takes is asked again as often as the CSIDriver says
(`nodeAllocatableUpdatePeriodSeconds`).
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound
from motet.client.interface import Client
from motet.kinds import csidriver as csidriver_kind
from motet.kinds import csinode as csinode_kind
from motet.kinds import node as node_kind
from motet.pods.csi.volumes import Registered
from motet.runtime.csi import CsiFailure, Driver, NodeInfo, PluginInfo, Registrar

Json = dict[str, Any]

_log = logging.getLogger("motet.agent.plugins")
_LOOK_EVERY = 1.0
# Between tries to register what could not be, in seconds.
_RETRY_FIRST, _RETRY_LONGEST = 1.0, 30.0
# How often a CSIDriver is looked at that asks for nothing.
_LOOK_AT_DRIVER = 60.0
# A socket's path, and what tells it from a later one of that name.
Sockets = Mapping[Path, tuple[int, int]]


class Refused(Exception):
    """A plugin that cannot be registered."""


def problem(info: PluginInfo) -> str:
    """Why a plugin is none that this node can use, or an empty string."""
    if info.type != "CSIPlugin":
        return f"no handler registered for plugin type: {info.type} at socket {info.endpoint}"
    if not info.name:
        return "the plugin has no name"
    if not any(version.removeprefix("v").split(".")[0] == "1" for version in info.versions):
        return f"none of the versions {', '.join(info.versions) or '(none)'} of CSI is supported; 1.x is"
    return ""


def entry(name: str, info: NodeInfo) -> Json:
    """A driver in `CSINode.spec.drivers`."""
    made: Json = {"name": name, "nodeID": info.node_id, "topologyKeys": sorted(info.topology) or None}
    if info.most_volumes > 0:
        made["allocatable"] = {"count": info.most_volumes}
    return {key: value for key, value in made.items() if value is not None}


def collision(name: str, info: NodeInfo, labels: Mapping[str, str]) -> str:
    """What a driver's topology says against the labels that the node has, or an empty string."""
    for key, value in info.topology.items():
        if labels.get(key, value) != value:
            told = f'driver reported "{key}":"{value}" but existing label is "{key}":"{labels[key]}"'
            return f"detected topology value collision: {told} (driver {name})"
    return ""


class _DriverSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_allocatable_update_period_seconds: int | None = None


class _DriverView(msgspec.Struct, gc=False, frozen=True):
    spec: _DriverSpec = _DriverSpec()


@dataclass(slots=True)
class _Known:
    mark: tuple[int, int]
    driver: str = ""
    retry_at: float = 0.0
    delay: float = _RETRY_FIRST


class Plugins:
    """The drivers of one node. `drivers` is what is registered now; `node_uid` is empty while the node is not known yet."""

    def __init__(self, root: Path, client: Client, clock: Clock, node: str, node_uid: Callable[[], str]) -> None:
        self._registry = root / "plugins_registry"
        self._client = client
        self._clock = clock
        self._node = node
        self._node_uid = node_uid
        self._known: dict[Path, _Known] = {}
        self._told: Sequence[Json] | None = None
        # When a driver is to be asked again how many volumes the node takes, or whether to ask at all.
        self._ask_at: dict[str, float] = {}
        self.drivers: dict[str, Registered] = {}

    async def run(self) -> None:
        """Look every second until cancelled."""
        await asyncio.to_thread(self._registry.mkdir, parents=True, exist_ok=True, mode=0o750)
        try:
            while True:
                await self.look(await asyncio.to_thread(self._sockets))
                await self._clock.sleep(_LOOK_EVERY)
        finally:
            for registered in self.drivers.values():
                await registered.driver.close()
            self.drivers.clear()
            self._known.clear()

    def _sockets(self) -> Sockets:
        found = {}
        for path in self._registry.iterdir():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISSOCK(status.st_mode) and not path.name.startswith("."):
                found[path] = (status.st_ino, status.st_ctime_ns)
        return found

    async def look(self, sockets: Sockets) -> None:
        """Bring what is registered in line with the sockets that are there."""
        for path in [path for path, known in self._known.items() if sockets.get(path) != known.mark]:
            await self._forget(self._known.pop(path))
        now = self._clock.monotonic()
        for path, mark in sockets.items():
            known = self._known.setdefault(path, _Known(mark))
            if not known.driver and now >= known.retry_at:
                await self._try(path, known)
        for name in list(self.drivers):
            if now >= self._ask_at.get(name, float("-inf")):
                await self._ask_again(name, now)
        try:
            await self._tell()
        except ApiError as error:
            _log.warning("the node's drivers not told yet: %s", error)

    async def _ask_again(self, name: str, now: float) -> None:
        """Ask a driver how many volumes the node takes, if it is time and its CSIDriver wants that."""
        first = name not in self._ask_at
        self._ask_at[name] = now + _LOOK_AT_DRIVER
        try:
            found = await self._client.get(csidriver_kind.KIND, name)
            period = found.view(_DriverView).spec.node_allocatable_update_period_seconds
            if not period:
                return
            self._ask_at[name] = now + period
            if not first:
                registered = self.drivers[name]
                self.drivers[name] = replace(registered, info=await registered.driver.node_info())
        except NotFound:
            return
        except (ApiError, CsiFailure) as error:
            _log.warning("how many volumes of %s the node takes is not known anew: %s", name, error)

    async def _try(self, path: Path, known: _Known) -> None:
        registrar = Registrar(str(path))
        try:
            known.driver = await self._register(registrar)
            await registrar.notify()
            _log.info("CSI driver %s is registered", known.driver)
        except (CsiFailure, Refused, ApiError) as error:
            _log.warning("the plugin behind %s is not registered: %s", path, error)
            await self._forget(known)
            known.driver = ""
            known.retry_at = self._clock.monotonic() + known.delay
            known.delay = min(2 * known.delay, _RETRY_LONGEST)
            if not isinstance(error, CsiFailure):
                try:
                    await registrar.notify(str(error))
                except CsiFailure as failure:
                    _log.debug("%s could not be told: %s", path, failure)
        finally:
            await registrar.close()

    async def _register(self, registrar: Registrar) -> str:
        """Its name, once everybody knows of the driver. Raises CsiFailure, Refused, ApiError."""
        info = await registrar.info()
        if why := problem(info):
            raise Refused(why)
        if info.name in self.drivers:
            raise Refused(f"a driver {info.name} is registered already")
        driver = Driver(info.endpoint)
        try:
            node = await driver.node_info()
            if not node.node_id:
                raise Refused(f"driver {info.name} has no name for this node")
            await self._label(info.name, node)
            self.drivers[info.name] = Registered(driver, node)
            await self._tell()
        except BaseException:
            self.drivers.pop(info.name, None)
            await driver.close()
            raise
        return info.name

    async def _forget(self, known: _Known) -> None:
        registered = self.drivers.pop(known.driver, None)
        self._ask_at.pop(known.driver, None)
        if registered is not None:
            _log.info("CSI driver %s is gone", known.driver)
            await registered.driver.close()

    async def _label(self, name: str, info: NodeInfo) -> None:
        if not info.topology:
            return
        node = await self._client.get(node_kind.KIND, self._node)
        labels = node.meta.labels or {}
        if why := collision(name, info, labels):
            raise Refused(why)
        if any(key not in labels for key in info.topology):
            await self._client.patch(node_kind.KIND, self._node, {"metadata": {"labels": dict(info.topology)}})

    async def _tell(self) -> None:
        """Make CSINode say what is registered. Raises ApiError."""
        wanted = [entry(name, each.info) for name, each in sorted(self.drivers.items())]
        if wanted == self._told or not self._node_uid():
            return
        try:
            found = (await self._client.get(csinode_kind.KIND, self._node)).decode()
        except NotFound:
            await self._client.create(csinode_kind.KIND, self._document(wanted))
        else:
            changed = {**found, "spec": {**found.get("spec", {}), "drivers": wanted}}
            held = found.get("spec", {}).get("drivers") or []
            if held != wanted:
                # A driver's entry is never changed, so what differs goes before it comes again.
                kept = [each for each in held if each in wanted]
                if any(each["name"] in {new["name"] for new in wanted} for each in held if each not in wanted):
                    bare = {**found, "spec": {**found["spec"], "drivers": kept}}
                    changed["metadata"] = (await self._client.update(csinode_kind.KIND, bare)).decode()["metadata"]
                await self._client.update(csinode_kind.KIND, changed)
        self._told = wanted

    def _document(self, drivers: Sequence[Json]) -> Json:
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": self._node_uid()}
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": self._node, "ownerReferences": [owner]},
            "spec": {"drivers": list(drivers)},
        }
