"""metrics.k8s.io/v1beta1: what nodes and pods use, as their agents tell it (Kubernetes "Resource metrics pipeline").

Nothing is asked while nobody wants to know. Then every agent is asked once, for all its pods, and its answer is good for ten
seconds. An agent that does not answer in time is left out, as is a pod that is too young for a rate.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from motet.api.http import agents, answers
from motet.api.http.calls import Call
from motet.api.http.parameters import narrowing
from motet.api.registry import Registry
from motet.base.clock import Clock
from motet.base.errors import ApiError, MethodNotAllowed, NotFound, not_found
from motet.base.selectors import EVERYTHING, FieldSelector, Selector
from motet.base.timestamps import format_time
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.kinds.kind import Json
from motet.store.document import Document

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
RESOURCES = {"nodes": ("NodeMetrics", False), "pods": ("PodMetrics", True)}
"""Plural -> (kind, whether it lives in a namespace)."""

_GOOD_FOR = 10.0
_ANSWER_WITHIN = 5.0


class Used(msgspec.Struct, gc=False, frozen=True):
    """Nanocores and bytes over `window` seconds that ended at `at` (epoch)."""

    cpu: int
    memory: int
    at: float
    window: float


class UsedBy(Used, gc=False, frozen=True):
    name: str


class PodUse(msgspec.Struct, gc=False, frozen=True):
    namespace: str
    name: str
    containers: tuple[UsedBy, ...] = ()


class NodeUse(msgspec.Struct, gc=False, frozen=True):
    """What one agent answers."""

    node: Used | None = None
    pods: tuple[PodUse, ...] = ()


_decode = msgspec.json.Decoder(NodeUse).decode


class Usage:
    """What the cluster uses. `tls` proves to agents that we are a manager."""

    def __init__(self, registry: Registry, tls: ssl.SSLContext | None, clock: Clock) -> None:
        self._registry = registry
        self._tls = tls
        self._clock = clock
        self._told: dict[str, tuple[float, NodeUse]] = {}
        self._asking: dict[str, asyncio.Task[NodeUse | None]] = {}

    # --- documents ----------------------------------------------------------------------------------------------------

    async def nodes(self, labels: Selector = EVERYTHING, fields: FieldSelector = FieldSelector()) -> list[Json]:
        """NodeMetrics of every node that answers."""
        chosen = _chosen(self._registry.table(node_kind.KIND), "", labels, fields)
        told = await self._ask(document.name for document in chosen)
        return [
            _metrics("NodeMetrics", document, used.node, {"usage": _usage([used.node])})
            for document in chosen
            if (used := told.get(document.name)) is not None and used.node is not None
        ]

    async def pods(
        self, namespace: str = "", labels: Selector = EVERYTHING, fields: FieldSelector = FieldSelector()
    ) -> list[Json]:
        """PodMetrics of every pod that has run long enough."""
        chosen = _chosen(self._registry.table(pod_kind.KIND), namespace, labels, fields)
        where = {document.key: pod_kind.KIND.fields(document)["spec.nodeName"] for document in chosen}
        told = await self._ask({name for name in where.values() if name})
        by_name = {(pod.namespace, pod.name): pod for node in told.values() for pod in node.pods}
        found = []
        for document in chosen:
            used = by_name.get((document.namespace, document.name))
            if used is not None and used.containers:
                containers = [{"name": each.name, "usage": _usage([each])} for each in used.containers]
                found.append(_metrics("PodMetrics", document, used.containers[0], {"containers": containers}))
        return found

    # --- over HTTP ----------------------------------------------------------------------------------------------------

    async def answer(self, call: Call) -> web.StreamResponse:
        """A request below /apis/metrics.k8s.io/v1beta1. Raises ApiError."""
        target = call.target
        kind, namespaced = RESOURCES.get(target.plural, ("", False))
        if not kind or target.subresource or (target.name and namespaced != bool(target.namespace)):
            raise NotFound("the server could not find the requested resource")
        call.resource = f"{target.plural}.{GROUP}"
        if call.verb not in ("get", "list"):
            raise MethodNotAllowed("what nodes and pods use can only be read")
        fields, labels = narrowing(call.query)
        if target.name:
            fields = FieldSelector()
        found = await (self.pods(target.namespace, labels, fields) if namespaced else self.nodes(labels, fields))
        if not target.name:
            shown = {"kind": f"{kind}List", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": found}
            return answers.document(shown)
        for document in found:
            if document["metadata"]["name"] == target.name:
                return answers.document(document)
        shown_name = f"{target.namespace}/{target.name}" if namespaced else target.name
        raise not_found(GROUP, kind.lower(), shown_name)

    # --- asking agents ------------------------------------------------------------------------------------------------

    async def _ask(self, nodes: Iterable[str]) -> dict[str, NodeUse]:
        """What these nodes' agents say, those that answer."""
        names = list(nodes)
        found = await asyncio.gather(*(self._one(name) for name in names))
        return {name: used for name, used in zip(names, found, strict=True) if used is not None}

    async def _one(self, name: str) -> NodeUse | None:
        at, used = self._told.get(name, (float("-inf"), NodeUse()))
        if self._clock.monotonic() - at < _GOOD_FOR:
            return used
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(self._fetch(name))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(task)

    async def _fetch(self, name: str) -> NodeUse | None:
        if self._tls is None:
            return None
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                agent = await agents.locate(self._registry, name)
                answer, writer = await agents.get(agent, "/usage", self._tls)
                try:
                    body = await answer.everything()
                finally:
                    writer.transport.abort()
            used = _decode(body) if answer.status == 200 else None
        except (ApiError, TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            return None
        if used is not None:
            self._told[name] = (self._clock.monotonic(), used)
            for gone in [other for other, (at, _) in self._told.items() if self._clock.monotonic() - at > 600]:
                del self._told[gone]
        return used


def _chosen(table: Iterable[Document], namespace: str, labels: Selector, fields: FieldSelector) -> list[Document]:
    return [
        document
        for document in table
        if namespace in ("", document.namespace)
        and labels.matches(document.meta.labels)
        and fields.matches({"metadata.name": document.name, "metadata.namespace": document.namespace})
    ]


def _metrics(kind: str, document: Document, used: Used, content: Mapping[str, Any]) -> Json:
    at = format_time(datetime.fromtimestamp(used.at, UTC))
    metadata: Json = {"name": document.name, "creationTimestamp": at}
    if document.namespace:
        metadata["namespace"] = document.namespace
    if document.meta.labels:
        metadata["labels"] = document.meta.labels
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": metadata,
        "timestamp": at,
        "window": f"{used.window:.3f}s",
        **content,
    }


def _usage(parts: Iterable[Used]) -> Json:
    parts = list(parts)
    return {"cpu": f"{sum(part.cpu for part in parts)}n", "memory": f"{sum(part.memory for part in parts) // 1024}Ki"}
