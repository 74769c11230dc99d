"""The nodes as arrays: one row per node, one column per resource, kept current instead of rebuilt.

Rows of nodes that are gone are reused. `used` counts every pod that is bound or assumed and not finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from motet.base import quantity
from motet.scheduler.classes import HostPort, PodClass, in_units
from motet.scheduler.views import NodeView, Taint
from motet.store.document import Document

Vector = npt.NDArray[np.int64]

_GROWTH = 64


@dataclass(slots=True)
class Node:
    """What filters read of one node beside its numbers."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    ports: Counter[HostPort] = field(default_factory=Counter)
    # Pods of each owner on this node, for spreading.
    owners: Counter[str] = field(default_factory=Counter)


class Snapshot:
    """All nodes, and what runs on them."""

    def __init__(self) -> None:
        self._columns: dict[str, int] = {"cpu": 0, "memory": 1, "pods": 2}
        self._rows: dict[str, int] = {}
        self._free_rows: list[int] = []
        self.nodes: list[Node | None] = []
        self.allocatable: npt.NDArray[np.int64] = np.zeros((_GROWTH, 3), np.int64)
        self.used: npt.NDArray[np.int64] = np.zeros((_GROWTH, 3), np.int64)
        # (millicores, bytes) with defaults for pods that ask for nothing: what scores look at.
        self.scored: npt.NDArray[np.int64] = np.zeros((_GROWTH, 2), np.int64)
        # Pods placed on nodes that are not known (yet): name -> classes.
        self._waiting: dict[str, list[PodClass]] = {}
        # Grows whenever anything a cached mask depends on changed.
        self.generation = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    @property
    def height(self) -> int:
        """Rows in use, including empty ones between."""
        return len(self.nodes)

    def row(self, name: str) -> int:
        """The row of a node. Raises KeyError."""
        return self._rows[name]

    def named(self) -> Iterator[tuple[int, Node]]:
        """Row and node of every node."""
        return ((row, node) for row, node in enumerate(self.nodes) if node is not None)

    def column(self, resource: str) -> int | None:
        """The column of a resource, or None when no node has it."""
        return self._columns.get(resource)

    def set_node(self, document: Document) -> bool:
        """Take in a node, new or changed. Answers whether anything the scheduler reads is different."""
        view = document.view(NodeView)
        offered = view.status.allocatable or view.status.capacity or {}
        amounts = {name: in_units(name, quantity.parse(value)) for name, value in offered.items()}
        for resource in amounts:
            self._column_for(resource)
        row = self._rows.get(document.name)
        fresh = row is None
        if row is None:
            row = self._take_row(document.name)
        node = self.nodes[row]
        changed = Node(
            name=document.name,
            labels=dict(document.meta.labels or {}),
            taints=view.spec.taints or (),
            unschedulable=view.spec.unschedulable,
        )
        before = self.allocatable[row].copy()
        self.allocatable[row] = 0
        for resource, amount in amounts.items():
            self.allocatable[row, self._columns[resource]] = amount
        if node is not None and not fresh:
            changed.ports, changed.owners = node.ports, node.owners
            if (node.labels, node.taints, node.unschedulable) == (
                changed.labels,
                changed.taints,
                changed.unschedulable,
            ) and bool((before == self.allocatable[row]).all()):
                return False
        self.nodes[row] = changed
        self.generation += 1
        for pod_class in self._waiting.pop(document.name, ()):
            self.add(document.name, pod_class)
        return True

    def remove_node(self, name: str) -> None:
        """Forget a node and what ran on it."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        self.nodes[row] = None
        self.allocatable[row] = self.used[row] = 0
        self.scored[row] = 0
        self._free_rows.append(row)
        self.generation += 1

    def add(self, node_name: str, pod_class: PodClass) -> None:
        """A pod now counts on a node."""
        row = self._rows.get(node_name)
        if row is None:
            self._waiting.setdefault(node_name, []).append(pod_class)
            return
        self._count(row, pod_class, 1)

    def remove(self, node_name: str, pod_class: PodClass) -> None:
        """A pod no longer counts on a node."""
        row = self._rows.get(node_name)
        if row is None:
            waiting = self._waiting.get(node_name, [])
            if pod_class in waiting:
                waiting.remove(pod_class)
            return
        self._count(row, pod_class, -1)

    def _count(self, row: int, pod_class: PodClass, sign: int) -> None:
        node = self.nodes[row]
        if node is None:
            return
        for resource, amount in pod_class.requests.items():
            self.used[row, self._column_for(resource)] += sign * amount
        self.scored[row, 0] += sign * pod_class.scored[0]
        self.scored[row, 1] += sign * pod_class.scored[1]
        node.owners[pod_class.owner] += sign
        if not node.owners[pod_class.owner]:
            del node.owners[pod_class.owner]
        for port in pod_class.host_ports:
            node.ports[port] += sign
            if not node.ports[port]:
                del node.ports[port]

    def demand(self, pod_class: PodClass) -> tuple[list[tuple[str, int, int]], list[str]]:
        """What a class asks for as (resource, column, amount), and the resources that no node has."""
        known, missing = [], []
        for resource, amount in pod_class.requests.items():
            if amount == 0:
                continue
            column = self._columns.get(resource)
            if column is None:
                missing.append(resource)
            else:
                known.append((resource, column, amount))
        return known, missing

    def _column_for(self, resource: str) -> int:
        column = self._columns.get(resource)
        if column is None:
            column = self._columns[resource] = len(self._columns)
            empty = np.zeros((self.allocatable.shape[0], 1), np.int64)
            self.allocatable = np.hstack((self.allocatable, empty))
            self.used = np.hstack((self.used, empty))
        return column

    def _take_row(self, name: str) -> int:
        if self._free_rows:
            row = self._free_rows.pop()
        else:
            row = len(self.nodes)
            self.nodes.append(None)
            if row >= self.allocatable.shape[0]:
                self._grow()
        self._rows[name] = row
        return row

    def _grow(self) -> None:
        extra = max(_GROWTH, self.allocatable.shape[0])
        self.allocatable = np.vstack((self.allocatable, np.zeros((extra, self.allocatable.shape[1]), np.int64)))
        self.used = np.vstack((self.used, np.zeros((extra, self.used.shape[1]), np.int64)))
        self.scored = np.vstack((self.scored, np.zeros((extra, 2), np.int64)))
