"""Which pods there are, at which address and on which Networks, as early as this node can know.

Of its own pods the node knows the address before the API does: whoever makes a pod's sandbox enters it here (`admit`), and
starts its containers only when the rules for it are in the kernel (`enforced`). All other pods are read from the API, and
only once there is a Network or a policy to need them. What is decided from this is marked with its `revision`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from motet.base.ip import parse_network
from motet.client.interface import Client, Remembered
from motet.kinds import network, node, podaddress, podmarks
from motet.kinds.attachments import NetworkKey
from motet.kinds.network import NetworkSpec, NetworkView
from motet.network.policy.views import Pod, pod_at, pod_of
from motet.store.document import Document, Key
from motet.store.table import Table

# Longer than any rewriting of all rules takes.
_PATIENCE_SECONDS = 15.0


class _NodeSpec(msgspec.Struct, gc=False, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] | None = msgspec.field(default=None, name="podCIDRs")


class _NodeView(msgspec.Struct, gc=False, frozen=True):
    spec: _NodeSpec = _NodeSpec()


@dataclass(frozen=True, slots=True)
class _Admitted:
    document: Document
    address: str
    sandbox: str
    port: str
    second: str

    def pod(self, document: Document | None = None) -> Pod:
        return pod_at(self.address, document or self.document, self.port, self.second)

    @property
    def addresses(self) -> set[str]:
        return {self.address, self.second} - {""}


class Roster:
    """The pods of all nodes as node `here` knows them. For use from one event loop.

    `port_of` gives the bridge's port that a sandbox is connected to, or an empty text.
    """

    def __init__(self, client: Client, here: str, port_of: Callable[[str], str] = lambda sandbox: "") -> None:
        self._client = client
        self._here = here
        self._port_of = port_of
        self._networks: Remembered | None = None
        self._pods: Table | None = None
        self._nodes: Table | None = None
        self._loading = asyncio.Lock()
        # What the API says, by name; and what this node entered itself, by uid.
        self._told: dict[Key, Pod] = {}
        self._admitted: dict[str, _Admitted] = {}
        self._own: list[Pod] | None = None
        self._listeners: dict[object, Callable[[], None]] = {}
        self.revision = 0
        self._enforced = -1
        self._waiting = 0
        self._moved = asyncio.Event()

    # --- what everybody may ask ---------------------------------------------------------------------------------------

    async def loaded(self) -> None:
        """Return once the Networks are known, be it from what was told before a manager went away. Raises ApiError."""
        await self._remember()

    async def confirmed(self) -> None:
        """Return once the manager has told the Networks: from then on rules may be made of them. Raises ApiError."""
        networks = await self._remember()
        await networks.confirmed()

    async def _remember(self) -> Remembered:
        async with self._loading:
            if self._networks is None:
                self._networks = await self._client.remembered(network.KIND)
                self._networks.table.listen(self._network_changed)
                self._touch()
            return self._networks

    async def awake(self) -> None:
        """Return once all pods and nodes are known, too. Raises ApiError."""
        await self.confirmed()
        async with self._loading:
            if self._pods is None:
                nodes = await self._client.table(node.KIND)
                pods = await self._client.table(podaddress.KIND)
                pods.listen(self._pod_changed)
                nodes.listen(self._node_changed)
                self._told = {each.key: pod for each in pods if (pod := pod_of(each, self._here)) is not None}
                self._nodes, self._pods = nodes, pods
                self._touch()

    @property
    def idle(self) -> bool:
        """Whether there is no Network and no pod here that names one: then nobody needs to know the pods."""
        return not self._documents and not any(pod.networks for pod in self.own())

    @property
    def knows_everyone(self) -> bool:
        """Whether the pods of other nodes have been told yet; without the API they are not."""
        return self._pods is not None

    @property
    def _documents(self) -> Table | tuple[()]:
        return self._networks.table if self._networks is not None else ()

    @property
    def networks(self) -> Mapping[NetworkKey, NetworkSpec]:
        return {
            NetworkKey(document.namespace, document.name): document.view(NetworkView).spec
            for document in self._documents
        }

    def gateways(self, version: int) -> frozenset[str]:
        """What other nodes' own connections to pods come from, by one version of IP: the first address of each one's pods."""
        found = set()
        for document in self._nodes or ():
            spec = document.view(_NodeView).spec
            for cidr in spec.pod_cidrs or (spec.pod_cidr,):
                if cidr and document.name != self._here and (network := parse_network(cidr)).version == version:
                    found.add(str(network[1]))
        return frozenset(found)

    def everyone(self) -> list[Pod]:
        """Every pod that has an address of its own. What this node knows itself goes before what the API says."""
        own = {pod.address: pod for pod in self.own()}
        seconds = {pod.second for pod in own.values()} - {""}
        others = (pod for pod in self._told.values() if pod.address not in own)
        if seconds:
            # Addresses of the two families are given out apart from each other, and so come to somebody else apart.
            others = (replace(pod, second="") if pod.second in seconds else pod for pod in others)
        return [*own.values(), *others]

    def own(self) -> Sequence[Pod]:
        """The pods of this node that were admitted, with what the API says of them by now. The same object until that changes."""
        if self._own is None:
            self._own = [each.pod(self._newest(each.document)) for each in self._admitted.values()]
        return self._own

    def name_servers(self) -> dict[str, tuple[str, ...]]:
        """Whom the node asks about names outside the cluster for those of its pods that want others asked, by address.

        The API tells nodes of pods without this.
        """
        found = {}
        for each in self._admitted.values():
            # One that cannot be read has kept the pod from being made.
            with contextlib.suppress(ValueError):
                if servers := podmarks.name_servers(each.document.meta.annotations):
                    found[each.address] = servers
        return found

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback()` right after every change, until the returned function is called. It must not raise."""
        token = object()
        self._listeners[token] = callback

        def stop() -> None:
            self._listeners.pop(token, None)

        return stop

    # --- the node's own pods ------------------------------------------------------------------------------------------

    def admit(self, document: Document, address: str, sandbox: str = "", second: str = "") -> None:
        """A pod of this node has an address, and perhaps a `second` of IPv6; whoever had them before is gone.

        Costs nothing when that is known.
        """
        uid = document.meta.uid
        known = self._admitted.get(uid)
        same = known is not None and (known.address, known.second, known.sandbox) == (address, second, sandbox)
        if known is not None and same and known.document.revision >= document.revision:
            return
        port = known.port if known is not None and same else self._port_of(sandbox)
        entered = _Admitted(document, address, sandbox, port, second)
        for other in [
            each for each, held in self._admitted.items() if held.addresses & entered.addresses and each != uid
        ]:
            del self._admitted[other]
        self._admitted[uid] = entered
        if known is None or known.pod() != entered.pod():
            self._own = None
            self._touch()

    def dismiss(self, uid: str) -> None:
        """The pod has no address any more."""
        if self._admitted.pop(uid, None) is not None:
            self._own = None
            self._touch()

    async def enforced(self) -> None:
        """Return once the rules in the kernel follow from all that is known now. Raises TimeoutError."""
        wanted = self.revision
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while self._enforced < wanted:
                    await self._moved.wait()
        finally:
            self._waiting -= 1

    def enforce(self, revision: int) -> None:
        """The rules of this revision are in the kernel."""
        self._enforced = revision
        self._moved.set()
        self._moved = asyncio.Event()

    @property
    def waited_for(self) -> bool:
        """Whether a pod cannot be started before rules are in the kernel."""
        return self._waiting > 0

    # --- changes ------------------------------------------------------------------------------------------------------

    def _newest(self, document: Document) -> Document:
        """The pod as the API tells it, if that is newer."""
        told = self._pods.get(document.name, document.namespace) if self._pods is not None else None
        if told is not None and told.meta.uid == document.meta.uid and told.revision > document.revision:
            return told
        return document

    def _touch(self) -> None:
        self.revision += 1
        for listener in list(self._listeners.values()):
            listener()

    def _network_changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or new is None or old.view(NetworkView) != new.view(NetworkView):
            self._touch()

    def _node_changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or new is None or old.view(_NodeView) != new.view(_NodeView):
            self._touch()

    def _pod_changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        pod = pod_of(new, self._here) if new is not None else None
        admitted = self._admitted.get(document.meta.uid)
        ours = admitted is not None and new is not None and (old is None or admitted.pod(old) != admitted.pod(new))
        if ours:
            self._own = None
        if pod != self._told.get(document.key):
            if pod is None:
                del self._told[document.key]
            else:
                self._told[document.key] = pod
        elif not ours:
            return
        self._touch()
