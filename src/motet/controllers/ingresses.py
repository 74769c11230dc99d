"""Ingresses of Motet's class: the class itself, and the addresses of the nodes that serve.

Every node serves every Ingress (`network/ingress`) and says so on its Node; those that do and are ready are the addresses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import msgspec

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, NotFound
from motet.client.interface import Client
from motet.controllers.loadbalancers import NodeView
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.kinds import ingress as ingress_kind
from motet.kinds import ingressclass as class_kind
from motet.kinds import node as node_kind
from motet.kinds.ingressclass import DEFAULT_ANNOTATION, OURS
from motet.store.document import Document
from motet.store.table import Table

CLASS = "motet"
_PACE = 0.1


class _Point(msgspec.Struct, gc=False, frozen=True):
    ip: str = ""


class _Balancer(msgspec.Struct, gc=False, frozen=True):
    ingress: tuple[_Point, ...] | None = None


class _Status(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    load_balancer: _Balancer | None = None


class _View(msgspec.Struct, gc=False, frozen=True):
    status: _Status = _Status()

    def shown(self) -> tuple[str, ...]:
        balancer = self.status.load_balancer
        return tuple(point.ip for point in (balancer.ingress if balancer else None) or ())


class _ClassSpec(msgspec.Struct, gc=False, frozen=True):
    controller: str = ""


class _ClassView(msgspec.Struct, gc=False, frozen=True):
    spec: _ClassSpec = _ClassSpec()


def serving(node: Document) -> str:
    """The address at which a node serves Ingresses; empty when it does not."""
    annotations = node.meta.annotations or {}
    return node.view(NodeView).address() if annotations.get(node_kind.INGRESS) == node_kind.INGRESS_READY else ""


class Ingresses:
    """The loop over Ingresses."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._ingresses: Table
        self._classes: Table
        self._nodes: Table

    async def run(self) -> None:
        """Keep every Ingress's addresses until cancelled."""
        self._ingresses = await self._client.table(ingress_kind.KIND)
        self._classes = await self._client.table(class_kind.KIND)
        self._nodes = await self._client.table(node_kind.KIND)
        await self._ensure_class()
        loop: Controller[ObjectKey] = Controller("ingress", self.reconcile, clock=self._clock, pace=_PACE)
        loop.watch(self._ingresses, own_key)
        loop.watch(self._classes, lambda old, new: self._all())
        loop.watch(self._nodes, self._concerns_node)
        await loop.run()

    async def _ensure_class(self) -> None:
        """Make the class `motet` if nobody did, the default one unless there is another."""
        if self._classes.get(CLASS) is not None:
            return
        taken = any((each.meta.annotations or {}).get(DEFAULT_ANNOTATION) == "true" for each in self._classes)
        annotations = {} if taken else {DEFAULT_ANNOTATION: "true"}
        document = {"metadata": {"name": CLASS, "annotations": annotations}, "spec": {"controller": OURS}}
        with contextlib.suppress(AlreadyExists):
            await self._client.create(class_kind.KIND, document)

    def _all(self) -> Iterable[ObjectKey]:
        return [(each.namespace, each.name) for each in self._ingresses]

    def _concerns_node(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        before, after = (serving(each) if each else "" for each in (old, new))
        return self._all() if before != after else ()

    async def reconcile(self, key: ObjectKey) -> None:
        """Write the addresses of one Ingress if they are not right."""
        document = self._ingresses.get(key[1], key[0])
        if document is None or not self._ours(document):
            return
        addresses = tuple(sorted({address for node in self._nodes if (address := serving(node))}))
        if document.view(_View).shown() == addresses:
            return
        changed = document.decode()
        shown = [{"ip": address} for address in addresses]
        changed.setdefault("status", {})["loadBalancer"] = {"ingress": shown} if shown else {}
        with contextlib.suppress(NotFound):
            await self._client.update(ingress_kind.KIND, changed, subresource="status")

    def _ours(self, ingress: Document) -> bool:
        found = self._classes.get(ingress_kind.class_of(ingress.decode()))
        return found is not None and found.view(_ClassView).spec.controller == OURS
