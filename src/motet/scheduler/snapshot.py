"""The nodes as arrays: one row per node, one column per resource, kept current instead of rebuilt.

Rows of nodes that are gone are reused. `used` counts every pod that is bound or assumed and not finished; what was placed on a
node is remembered by the node's name, so that a node may come after its pods, and go and come back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from motet.scheduler.classes import HostPort, PodClass, Rules, offered
from motet.scheduler.views import NodeImage, NodeView, Taint
from motet.store.document import Document

_T = TypeVar("_T")

_GROWTH = 64
_MOST_STANDINGS = 1024


@dataclass(slots=True)
class Node:
    """What filters read of one node beside its numbers."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    ports: Counter[HostPort] = field(default_factory=Counter)
    # Claims (namespace, name) that its pods mount.
    claims: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Standing:
    """How all nodes stand to pods with certain rules, their numbers aside.

    `rows` may run them; `fixed` is the part of each row's score that no placement changes; `reasons` counts the others.
    """

    rows: npt.NDArray[np.intp]
    fixed: npt.NDArray[np.float64]
    reasons: Counter[str]


@dataclass(frozen=True, slots=True)
class Domains:
    """The values of one node label: `of[row]` is the number of the row's value, -1 where the node has no such label."""

    of: npt.NDArray[np.intp]
    count: int


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
        # What counts on each node, known or not: name -> class -> pods.
        self._placed: dict[str, Counter[PodClass]] = {}
        # Where the pods of each owner are, for spreading: owner -> row -> pods.
        self._spread: dict[str, Counter[int]] = {}
        self._standings: dict[Rules, Standing] = {}
        # The rows each class has pods on, by namespace; and the classes among them that have wishes.
        self._where: dict[str, dict[PodClass, Counter[int]]] = {}
        self.wishful: set[PodClass] = set()
        # How many of those classes have which priority.
        self._priorities: Counter[int] = Counter()
        self._domains: dict[str, Domains] = {}
        # Which rows have an image, and its size in bytes.
        self._images: dict[str, dict[int, int]] = {}
        self._reported: dict[int, tuple[NodeImage, ...]] = {}
        # Labels by namespace, for terms that select namespaces.
        self.namespaces: dict[str, Mapping[str, str]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """The row of a node. Raises KeyError."""
        return self._rows[name]

    def named(self) -> Iterator[tuple[int, Node]]:
        """Row and node of every node."""
        return ((row, node) for row, node in enumerate(self.nodes) if node is not None)

    def owned(self, owner: str) -> npt.NDArray[np.int64]:
        """How many pods of an owner each row has."""
        counts = np.zeros(len(self.nodes), np.int64)
        for row, pods in self._spread.get(owner, {}).items():
            counts[row] = pods
        return counts

    def placed(self, namespaces: Iterable[str] | None) -> Iterator[tuple[PodClass, Mapping[int, int]]]:
        """The classes that have pods on known nodes, and how many on which row; of all namespaces when None."""
        for namespace in self._where if namespaces is None else namespaces:
            yield from self._where.get(namespace, {}).items()

    def rows_of(self, pod_class: PodClass) -> Mapping[int, int]:
        """How many pods of a class each row has."""
        return self._where.get(pod_class.namespace, {}).get(pod_class, {})

    def lowest_priority(self) -> int:
        """The lowest priority among pods on known nodes; higher than any there is when there are no pods."""
        return min(self._priorities, default=2**31)

    def image_sizes(self, image: str) -> Mapping[int, int]:
        """The rows that have an image, and how many bytes it is there."""
        return self._images.get(image, {})

    def _set_images(self, row: int, images: tuple[NodeImage, ...]) -> None:
        if images == self._reported.get(row, ()):
            return
        for old in self._reported.pop(row, ()):
            for name in old.names or ():
                if (rows := self._images.get(name)) is not None:
                    rows.pop(row, None)
                    if not rows:
                        del self._images[name]
        for each in images:
            for name in each.names or ():
                self._images.setdefault(name, {})[row] = each.size_bytes
        if images:
            self._reported[row] = images

    def domains(self, key: str) -> Domains:
        """The values that the nodes have of a label."""
        found = self._domains.get(key)
        if found is None:
            numbers: dict[str, int] = {}
            of = np.full(len(self.nodes), -1, np.intp)
            for row, node in self.named():
                if (value := node.labels.get(key)) is not None:
                    of[row] = numbers.setdefault(value, len(numbers))
            found = self._domains[key] = Domains(of, len(numbers))
        return found

    def standing(self, rules: Rules) -> Standing | None:
        """What was remembered for these rules and still holds."""
        return self._standings.get(rules)

    def remember(self, rules: Rules, standing: Standing) -> None:
        """Keep a standing until a node's labels, taints or presence change."""
        if len(self._standings) >= _MOST_STANDINGS:
            self._standings.clear()
        self._standings[rules] = standing

    def set_node(self, document: Document) -> bool:
        """Take in a node, new or changed. Answers whether anything the scheduler reads is different."""
        view = document.view(NodeView)
        row = self._rows.get(document.name)
        fresh = row is None
        if row is None:
            row = self._take_row(document.name)
        before = self.allocatable[row].tolist()
        self._set_images(row, view.status.images or ())
        amounts = offered(view.status.allocatable or view.status.capacity or {})
        for resource in amounts:
            self._column_for(resource)
        self.allocatable[row] = 0
        for resource, amount in amounts.items():
            self.allocatable[row, self._columns[resource]] = amount
        now = Node(document.name, document.meta.labels or {}, view.spec.taints or (), view.spec.unschedulable)
        old = self.nodes[row]
        if old is not None:
            now.ports, now.claims = old.ports, old.claims
            if now == old:
                after = self.allocatable[row].tolist()
                return before != after[: len(before)] or any(after[len(before) :])
        self.nodes[row] = now
        self._forget_labels()
        if fresh:
            for pod_class, pods in self._placed.get(document.name, Counter()).items():
                self._count(row, pod_class, pods)
        return True

    def remove_node(self, name: str) -> None:
        """Forget a node. What ran on it counts again should it come back, unless `remove` is called meanwhile."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        for pod_class, pods in self._placed.get(name, Counter()).items():
            self._count(row, pod_class, -pods)
        self._set_images(row, ())
        self.nodes[row] = None
        self.allocatable[row] = 0
        self._free_rows.append(row)
        self._forget_labels()

    def _forget_labels(self) -> None:
        self._standings.clear()
        self._domains.clear()

    def add(self, node_name: str, pod_class: PodClass) -> None:
        """A pod now counts on a node, known or not."""
        self._placed.setdefault(node_name, Counter())[pod_class] += 1
        row = self._rows.get(node_name)
        if row is not None:
            self._count(row, pod_class, 1)

    def add_many(self, pod_class: PodClass, rows: Sequence[int], copies: Sequence[int]) -> None:
        """`copies[i]` pods of a class now count on `rows[i]`. No row may appear twice."""
        if not rows:
            return
        at, amount = np.array(rows, np.intp), np.array(copies, np.int64)
        for resource, each in pod_class.requests.items():
            column = self._column_for(resource)  # first, as it may replace the arrays
            self.used[at, column] += amount * each
        for column, each in enumerate(pod_class.scored):
            self.scored[at, column] += amount * each
        spread = self._spread.setdefault(pod_class.owner, Counter())
        where = self._rows_of(pod_class)
        for row, pods in zip(rows, copies, strict=True):
            spread[row] += pods
            where[row] += pods
            node = self.nodes[row]
            assert node is not None
            self._placed.setdefault(node.name, Counter())[pod_class] += pods
            for port in pod_class.host_ports:
                node.ports[port] += pods
            for claim in pod_class.claims:
                node.claims[pod_class.namespace, claim] += pods

    def remove(self, node_name: str, pod_class: PodClass) -> None:
        """A pod that was added no longer counts. Raises KeyError when it never did."""
        placed = self._placed[node_name]
        _take(placed, pod_class, 1)
        if not placed:
            del self._placed[node_name]
        row = self._rows.get(node_name)
        if row is not None:
            self._count(row, pod_class, -1)

    def _count(self, row: int, pod_class: PodClass, pods: int) -> None:
        node = self.nodes[row]
        assert node is not None
        for resource, amount in pod_class.requests.items():
            column = self._column_for(resource)  # first, as it may replace the arrays
            self.used[row, column] += pods * amount
        self.scored[row, 0] += pods * pod_class.scored[0]
        self.scored[row, 1] += pods * pod_class.scored[1]
        spread = self._spread.setdefault(pod_class.owner, Counter())
        _take(spread, row, -pods)
        if not spread:
            del self._spread[pod_class.owner]
        where = self._rows_of(pod_class)
        _take(where, row, -pods)
        if not where:
            self._nowhere(pod_class)
        for port in pod_class.host_ports:
            _take(node.ports, port, -pods)
        for claim in pod_class.claims:
            _take(node.claims, (pod_class.namespace, claim), -pods)

    def _rows_of(self, pod_class: PodClass) -> Counter[int]:
        classes = self._where.setdefault(pod_class.namespace, {})
        found = classes.get(pod_class)
        if found is None:
            found = classes[pod_class] = Counter()
            self._priorities[pod_class.priority] += 1
            if pod_class.wishes:
                self.wishful.add(pod_class)
        return found

    def _nowhere(self, pod_class: PodClass) -> None:
        classes = self._where[pod_class.namespace]
        del classes[pod_class]
        _take(self._priorities, pod_class.priority, 1)
        if not classes:
            del self._where[pod_class.namespace]
        self.wishful.discard(pod_class)

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


def _take(counter: Counter[_T], what: _T, count: int) -> None:
    """`count` fewer; nothing is kept of what has none left."""
    counter[what] -= count
    if not counter[what]:
        del counter[what]
