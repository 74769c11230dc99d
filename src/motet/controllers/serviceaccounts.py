"""What every namespace is given: the ServiceAccount `default`, and the cluster's CA in the ConfigMap `kube-root-ca.crt`.

Pods run as `default` unless they say otherwise, and use the CA to know the API server. Both come back when somebody deletes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Forbidden
from motet.client.interface import Client
from motet.controllers.loop import Controller
from motet.kinds import configmap as configmap_kind
from motet.kinds import namespace as namespace_kind
from motet.kinds import serviceaccount as serviceaccount_kind
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"


class NamespaceDefaults:
    """The loop that gives every namespace its account and its CA. `ca` is PEM text; without it no ConfigMap is made."""

    def __init__(self, client: Client, clock: Clock, ca: str = "") -> None:
        self._client = client
        self._clock = clock
        self._ca = ca
        self._namespaces: Table
        self._accounts: Table
        self._configs: Table

    async def run(self) -> None:
        """Keep both in every namespace until cancelled."""
        self._namespaces = await self._client.table(namespace_kind.KIND)
        self._accounts = await self._client.table(serviceaccount_kind.KIND)
        self._configs = await self._client.table(configmap_kind.KIND)
        loop: Controller[str] = Controller("serviceaccount", self.reconcile, clock=self._clock)
        loop.watch(self._namespaces, lambda old, new: (new.name,) if new else ())
        loop.watch(self._accounts, _of(ACCOUNT))
        loop.watch(self._configs, _of(ROOT_CA))
        await loop.run()

    async def reconcile(self, name: str) -> None:
        """Make what is missing in one namespace and correct the CA."""
        namespace = self._namespaces.get(name)
        if namespace is None or namespace.meta.deletion_timestamp is not None:
            return
        if self._accounts.get(ACCOUNT, name) is None:
            await self._create(serviceaccount_kind.KIND, {"metadata": {"name": ACCOUNT, "namespace": name}})
        if not self._ca:
            return
        config = self._configs.get(ROOT_CA, name)
        if config is None:
            note = {"kubernetes.io/description": "The CA bundle that API clients in this namespace should trust."}
            meta = {"name": ROOT_CA, "namespace": name, "annotations": note}
            await self._create(configmap_kind.KIND, {"metadata": meta, "data": {"ca.crt": self._ca}})
        elif (config.decode().get("data") or {}) != {"ca.crt": self._ca}:
            corrected = config.decode()
            corrected["data"] = {"ca.crt": self._ca}
            await self._client.update(configmap_kind.KIND, corrected)

    async def _create(self, kind: Kind, document: dict[str, Any]) -> None:
        # Forbidden: the namespace began to go in between.
        with contextlib.suppress(AlreadyExists, Forbidden):
            await self._client.create(kind, document, document["metadata"]["namespace"])


def _of(name: str) -> Any:
    def keys(old: Document | None, new: Document | None) -> Iterable[str]:
        document = new or old
        return (document.namespace,) if document is not None and document.name == name else ()

    return keys
