"""What CSI drivers can do where: how many volumes a node takes, and whether there is room for a new one.

Follows upstream's filter NodeVolumeLimits (`CSINode.spec.drivers[].allocatable.count`;
`CSIDriver.spec.preventPodSchedulingIfMissing`) and the capacity check of VolumeBinding (CSIStorageCapacity, for drivers whose
`CSIDriver.spec.storageCapacity` is true).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import msgspec

from motet.base import quantity, selectors
from motet.client.interface import Client
from motet.kinds import csidriver, csinode, csistoragecapacity, volumeattachment
from motet.scheduler.classes import PodClass
from motet.scheduler.filters import Filter
from motet.scheduler.snapshot import Node
from motet.store.document import Document
from motet.store.table import Table

# A driver, and what it calls a volume.
Volume = tuple[str, str]
# The volume of a claim (namespace, name), if it is a driver's.
VolumeOf = Callable[[str, str], Volume | None]


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class _Allocatable(_Struct, frozen=True):
    count: int | None = None


class _Driver(_Struct, frozen=True):
    name: str = ""
    allocatable: _Allocatable | None = None


class _NodeSpec(_Struct, frozen=True):
    drivers: tuple[_Driver, ...] | None = None


class NodeView(_Struct, frozen=True):
    """What a CSINode says."""

    spec: _NodeSpec = _NodeSpec()


class _DriverSpec(_Struct, frozen=True):
    storage_capacity: bool | None = None
    prevent_pod_scheduling_if_missing: bool | None = None


class DriverView(_Struct, frozen=True):
    """What a CSIDriver says."""

    spec: _DriverSpec = _DriverSpec()


class CapacityView(_Struct, frozen=True):
    """A CSIStorageCapacity."""

    storage_class_name: str = ""
    node_topology: dict[str, object] | None = None
    capacity: str | int | float | None = None
    maximum_volume_size: str | int | float | None = None


class _Source(_Struct, frozen=True):
    persistent_volume_name: str = ""


class _AttachmentSpec(_Struct, frozen=True):
    attacher: str = ""
    node_name: str = ""
    source: _Source = _Source()


class AttachmentView(_Struct, frozen=True):
    """A VolumeAttachment."""

    spec: _AttachmentSpec = _AttachmentSpec()


@dataclass(frozen=True, slots=True)
class Drivers:
    """The tables that are about drivers."""

    nodes: Table
    drivers: Table
    capacities: Table
    attachments: Table

    @classmethod
    async def over(cls, client: Client) -> Drivers:
        return cls(
            await client.table(csinode.KIND),
            await client.table(csidriver.KIND),
            await client.table(csistoragecapacity.KIND),
            await client.table(volumeattachment.KIND),
        )

    @property
    def tables(self) -> Sequence[Table]:
        return self.nodes, self.drivers, self.capacities, self.attachments

    def counted(
        self, wanted: frozenset[Volume], volume_of: VolumeOf, handle_of: Callable[[str], Volume | None]
    ) -> Filter:
        """Nodes whose drivers take these volumes beside those that are there. `handle_of`: of a PersistentVolume."""
        known = cache(volume_of)
        needed = {driver for driver, _ in wanted if self._told(driver).prevent_pod_scheduling_if_missing}
        attached: dict[str, set[Volume]] = {}
        for document in self.attachments:
            spec = document.view(AttachmentView).spec
            if (found := handle_of(spec.source.persistent_volume_name)) is not None:
                attached.setdefault(spec.node_name, set()).add(found)

        def room(pod: PodClass, node: Node) -> str:
            drivers = self._on(node.name)
            if needed and not needed <= {driver.name for driver in drivers}:
                return "node(s) did not have the CSI driver that the pod's volumes need"
            limits = {
                driver.name: driver.allocatable.count
                for driver in drivers
                if driver.allocatable is not None and driver.allocatable.count is not None
            }
            if not any(driver in limits for driver, _ in wanted):
                return ""
            there = {found for claim in node.claims if (found := known(*claim)) is not None}
            there |= attached.get(node.name, set())
            for driver, limit in limits.items():
                new = sum(1 for volume in wanted - there if volume[0] == driver)
                if new and new + sum(1 for volume in there if volume[0] == driver) > limit:
                    return "node(s) exceed max volume count"
            return ""

        return room

    def _on(self, node: str) -> Sequence[_Driver]:
        found = self.nodes.get(node)
        return found.view(NodeView).spec.drivers or () if found is not None else ()

    def _told(self, driver: str) -> _DriverSpec:
        found = self.drivers.get(driver)
        return found.view(DriverView).spec if found is not None else _DriverSpec()

    def roomy(self, driver: str, storage_class: str, size: str | int | float) -> Filter | None:
        """Nodes from which a new volume of this size can be had; None when the driver does not tell."""
        if not self._told(driver).storage_capacity:
            return None
        wanted = quantity.parse(size)
        places = [
            selectors.from_document(view.node_topology)
            for view in map(_capacity, self.capacities)
            if view.storage_class_name == storage_class and view.node_topology is not None and _holds(view, wanted)
        ]

        def enough(pod: PodClass, node: Node) -> str:
            fits = any(place.matches(node.labels) for place in places)
            return "" if fits else "node(s) did not have enough free storage"

        return enough


def _capacity(document: Document) -> CapacityView:
    return document.view(CapacityView)


def _holds(view: CapacityView, wanted: Fraction) -> bool:
    """The largest volume where that is told, else all the room there is; nothing told is none."""
    limit = view.maximum_volume_size if view.maximum_volume_size is not None else view.capacity
    return limit is not None and quantity.parse(limit) >= wanted
