"""Keep the kernel true to policies, Networks, pods and namespaces.

Until the first policy or Network there is nothing in the kernel and no pods of other nodes are watched. From then on any
change that can matter marks everything as due; what is due a moment later is computed as a whole, in a thread, and only the
difference goes to the kernel, in one transaction. Connections that are established go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

from motet.client.interface import Client
from motet.kinds import namespace, networkpolicy
from motet.network.config import NetworkConfig
from motet.network.policy import guard, ruleset, views
from motet.network.policy.compile import Compiled, compile_policies
from motet.network.policy.guard import Guard
from motet.network.policy.networks import Ground, Separated, separate
from motet.network.policy.ruleset import Ruleset
from motet.network.policy.views import Pod, Policy, PolicyView
from motet.network.proxy.nft import Nft, NftError
from motet.network.roster import Roster
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

# Long enough to gather what one rollout step changes, short beside a second. Pods that wait to be started do not wait for it.
_GATHER_SECONDS = 0.02
_RESYNC_SECONDS = 30.0
# To look whether somebody damaged the table costs more than a change, since nft reads all elements for it.
_LOOK_SECONDS = 2.0

NAME_SERVER_NAMESPACE = "kube-system"
NAME_SERVER_LABELS = {"k8s-app": "kube-dns"}
_NAME_SERVER_PORTS = frozenset({("dns", "UDP", 53), ("dns-tcp", "TCP", 53)})

# For each family of addresses that the node has, IPv4 first.
Answers = tuple[tuple[Compiled, Separated], ...]


class Policies:
    """Enforces policies and Networks for the pods of one node."""

    def __init__(self, client: Client, config: NetworkConfig, nft: Nft, roster: Roster) -> None:
        self._client = client
        self._config = config
        self._nft = nft
        self._roster = roster
        # One for each family; none until they are in the kernel.
        self._rulesets: tuple[Ruleset, ...] = ()
        self._guard: Guard | None = None
        self._told = False
        self._wake = asyncio.Event()
        self._looked = 0.0

    async def run(self) -> None:
        """Enforce until cancelled; what is enforced then stays so."""
        policies = await self._client.table(networkpolicy.KIND)
        await self._roster.confirmed()
        ends = [policies.listen(self._changed), self._roster.listen(self._wake.set)]
        try:
            await self._rest(policies)
            await self._roster.awake()
            namespaces = await self._client.table(namespace.KIND)
            ends.append(namespaces.listen(self._namespace_changed))
            while True:
                self._wake.clear()
                await self._apply(policies, namespaces)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RESYNC_SECONDS):
                        await self._wake.wait()
                    if not self._roster.waited_for:
                        await asyncio.sleep(_GATHER_SECONDS)
        finally:
            for end in ends:
                end()

    async def _rest(self, policies: Table) -> None:
        """Return when there is the first policy or Network. Until then every pod may start at once."""
        cleared = False
        while not len(policies) and self._roster.idle:
            self._wake.clear()
            revision = self._roster.revision
            if not cleared:
                await asyncio.to_thread(self._clear)
                cleared = True
            self._roster.enforce(revision)
            await self._wake.wait()

    def _changed(self, old: Document | None, new: Document | None) -> None:
        if old is None or new is None or old.view(PolicyView) != new.view(PolicyView):
            self._wake.set()

    def _namespace_changed(self, old: Document | None, new: Document | None) -> None:
        if _labels(old) != _labels(new):
            self._wake.set()

    async def _apply(self, policies: Table, namespaces: Table) -> None:
        """Compute from everything as it is now, and make the kernel hold it. Raises NftError, ValueError."""
        roster, config = self._roster, self._config
        revision = roster.revision
        everyone = roster.everyone()
        if not len(policies) and not any(pod.networks for pod in everyone):
            await asyncio.to_thread(self._clear)
            roster.enforce(revision)
            return
        found = [policy for document in policies if (policy := _policy(document)) is not None]
        networks = roster.networks
        labels = {document.name: _labels(document) for document in namespaces}
        known = [*everyone, name_server(config)]
        ports = guard.ports_of(roster.own())
        await asyncio.to_thread(self._keep_honest, ports)

        def answers() -> Answers:
            return tuple(
                (
                    compile_policies(found, _met(known, each.version), labels, each.version),
                    separate(
                        _met(everyone, each.version),
                        networks,
                        Ground(each.all_pods, each.services, roster.gateways(each.version)),
                    ),
                )
                for each in config.families()
            )

        await asyncio.to_thread(self._enforce, answers)
        roster.enforce(revision)

    def _enforce(self, compiled: Callable[[], Answers]) -> None:
        answers = compiled()
        if self._rulesets and self._due() and not self._intact():
            _log.warning("tables %s were damaged; writing them again", ruleset.table(self._config))
            self._rulesets = ()
        if self._rulesets:
            try:
                if commands := _changes(self._rulesets, answers):
                    self._nft.run(commands)
                return
            except NftError as error:
                _log.error("%s; rewriting all policies", error)
        fresh, self._rulesets = tuple(Ruleset(each) for each in self._config.families()), ()
        # One transaction for both families: where one of them is closed, so is the other.
        self._nft.run("".join(ruleset.base(each.config) for each in fresh) + _changes(fresh, answers))
        self._rulesets = fresh

    def _keep_honest(self, ports: dict[str, guard.Addresses]) -> None:
        """Rules tell pods apart by their addresses: no pod sends under another's. Without it all else still holds."""
        try:
            if self._guard is not None:
                if commands := self._guard.change(ports):
                    self._nft.run(commands)
                return
        except NftError as error:
            _log.warning("%s; writing table bridge %s again", error, guard.table(self._config))
        fresh, self._guard = Guard(self._config), None
        try:
            self._nft.run(guard.base(self._config) + fresh.change(ports))
            self._guard = fresh
        except NftError as error:
            if not self._told:
                self._told = True
                _log.warning("pods here can send under other pods' addresses: %s", error)

    def _clear(self) -> None:
        """No policies, no tables."""
        self._nft.run(ruleset.remove(self._config))
        with contextlib.suppress(NftError):
            self._nft.run(guard.remove(self._config))
        self._rulesets, self._guard = (), None

    def _due(self) -> bool:
        """Whether it is time to look at the table again."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        return True

    def _intact(self) -> bool:
        """Whether the chains still are as they were made: somebody may have flushed them."""
        try:
            return all(
                "@ingress" in self._nft.run(f"list chain {each.family} {ruleset.table(each)} between")
                for each in self._config.families()
            )
        except NftError:
            return False


def _changes(rulesets: Iterable[Ruleset], answers: Answers) -> str:
    return "\n".join(
        commands for each, answer in zip(rulesets, answers, strict=True) if (commands := each.change(*answer))
    )


def _met(pods: Iterable[Pod], version: int) -> list[Pod]:
    """Those that are met by this version of IP."""
    return [met for pod in pods if (met := pod.by(version)) is not None]


def name_server(config: NetworkConfig) -> Pod:
    """The node's name server as policies see it: a pod of the name that the cluster's name servers have everywhere."""
    return Pod(str(config.dns_address), NAME_SERVER_NAMESPACE, NAME_SERVER_LABELS, _NAME_SERVER_PORTS)


def _policy(document: Document) -> Policy | None:
    try:
        return views.policy_of(document.namespace, document.view(PolicyView))
    except ValueError as error:
        _log.error("policy %s/%s cannot be enforced: %s", document.namespace, document.name, error)
        return None


def _labels(document: Document | None) -> dict[str, str]:
    return dict(document.meta.labels or {}) if document else {}
