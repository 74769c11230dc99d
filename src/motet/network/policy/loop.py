"""Keep the kernel true to policies, pods and namespaces.

Until the first policy there is nothing in the kernel and nothing is watched but policies. From then on any change that can
matter marks everything as due; what is due a moment later is computed as a whole, in a thread, and only the difference
goes to the kernel, in one transaction. Connections that are established go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from motet.client.interface import Client
from motet.kinds import namespace, networkpolicy, podaddress
from motet.network.config import NetworkConfig
from motet.network.policy import ruleset, views
from motet.network.policy.compile import Compiled, compile_policies
from motet.network.policy.ruleset import Ruleset
from motet.network.policy.views import Pod, PodView, Policy, PolicyView
from motet.network.proxy.nft import Nft, NftError
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

# Long enough to gather what one rollout step changes, short beside a second.
_GATHER_SECONDS = 0.02
_RESYNC_SECONDS = 30.0

NAME_SERVER_NAMESPACE = "kube-system"
NAME_SERVER_LABELS = {"k8s-app": "kube-dns"}
_NAME_SERVER_PORTS = frozenset({("dns", "UDP", 53), ("dns-tcp", "TCP", 53)})


class Policies:
    """Enforces policies for the pods of one node."""

    def __init__(self, client: Client, config: NetworkConfig, nft: Nft) -> None:
        self._client = client
        self._config = config
        self._nft = nft
        self._ruleset: Ruleset | None = None
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Enforce until cancelled; what is enforced then stays so."""
        policies = await self._client.table(networkpolicy.KIND)
        ends = [policies.listen(self._changed)]
        try:
            if not len(policies):
                await asyncio.to_thread(self._clear)
                await self._wake.wait()
            pods = await self._client.table(podaddress.KIND)
            namespaces = await self._client.table(namespace.KIND)
            ends += [pods.listen(self._pod_changed), namespaces.listen(self._namespace_changed)]
            while True:
                self._wake.clear()
                await self._apply(policies, pods, namespaces)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RESYNC_SECONDS):
                        await self._wake.wait()
                    await asyncio.sleep(_GATHER_SECONDS)
        finally:
            for end in ends:
                end()

    def _changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or new is None or old.view(PolicyView) != new.view(PolicyView):
            self._wake.set()

    def _namespace_changed(self, old: Document | None, new: Document | None) -> None:
        if _labels(old) != _labels(new):
            self._wake.set()

    def _pod_changed(self, old: Document | None, new: Document | None) -> None:
        if _pod(old, "") != _pod(new, ""):
            self._wake.set()

    async def _apply(self, policies: Table, pods: Table, namespaces: Table) -> None:
        """Compute from everything as it is now, and make the kernel hold it. Raises NftError, ValueError."""
        if not len(policies):
            await asyncio.to_thread(self._clear)
            return
        found = [policy for document in policies if (policy := _policy(document)) is not None]
        here = self._config.node_name
        everyone = [pod for document in pods if (pod := _pod(document, here)) is not None]
        everyone.append(name_server(self._config))
        labels = {document.name: _labels(document) for document in namespaces}
        await asyncio.to_thread(self._enforce, lambda: compile_policies(found, everyone, labels))

    def _enforce(self, compiled: Callable[[], Compiled]) -> None:
        answer = compiled()
        if self._ruleset is not None and not self._intact():
            _log.warning("table ip %s was damaged; writing it again", ruleset.table(self._config))
            self._ruleset = None
        if self._ruleset is not None:
            try:
                if commands := self._ruleset.change(answer):
                    self._nft.run(commands)
                return
            except NftError as error:
                _log.error("%s; rewriting all policies", error)
        fresh, self._ruleset = Ruleset(self._config), None
        self._nft.run(ruleset.base(self._config) + fresh.change(answer))
        self._ruleset = fresh

    def _clear(self) -> None:
        """No policies, no table."""
        self._nft.remove_table(ruleset.table(self._config))
        self._ruleset = None

    def _intact(self) -> bool:
        """Whether the chains still are as they were made: somebody may have flushed them."""
        try:
            return "@ingress" in self._nft.run(f"list chain ip {ruleset.table(self._config)} between")
        except NftError:
            return False


def name_server(config: NetworkConfig) -> Pod:
    """The node's name server as policies see it: a pod of the name that the cluster's name servers have everywhere."""
    return Pod(str(config.dns_address), NAME_SERVER_NAMESPACE, NAME_SERVER_LABELS, _NAME_SERVER_PORTS)


def _policy(document: Document) -> Policy | None:
    try:
        return views.policy_of(document.namespace, document.view(PolicyView))
    except ValueError as error:
        _log.error("policy %s/%s cannot be enforced: %s", document.namespace, document.name, error)
        return None


def _pod(document: Document | None, here: str) -> Pod | None:
    """The pod as policies see it, or None when it has no address of its own. `here` is this node's name."""
    if document is None:
        return None
    view = document.view(PodView)
    if not view.talks:
        return None
    labels = document.meta.labels or {}
    local = view.spec.node_name == here
    return Pod(view.status.pod_ip, document.namespace, labels, view.named_ports(), local=local)


def _labels(document: Document | None) -> dict[str, str]:
    return dict(document.meta.labels or {}) if document else {}
