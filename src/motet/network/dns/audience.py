"""Who may know which names: pure.

A pod on Networks knows the services and pods that it shares one with, under their names, under their aliases on shared
Networks, and by `tasks.NAME` as every single pod behind them (Swarm's names). A pod on none knows what Kubernetes has it
know, but for what is on Networks alone. What leads out of the pods is known to all. Names of other namespaces, of which a
shared Network may bring some, are known as if they were of the asker's own, where that has none such itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from motet.kinds.attachments import NOWHERE, Attachments, NetworkKey
from motet.network.dns import wire
from motet.network.dns.wire import Record
from motet.network.dns.zone import external_record, service_records
from motet.network.policy.views import Pod
from motet.network.proxy.desired import is_ready
from motet.network.proxy.views import Endpoint, ServiceView, SliceView

# The pod that has an address, or SOMEBODY; None for an address that no pod has.
WhoIs = Callable[[str], Pod | None]
# A pod of which nothing is known yet, as when the API is away. It counts as one on no Network, but for a service that says
# itself where its pods are.
SOMEBODY = Pod("", "", {})
TASKS = "tasks"


@dataclass(frozen=True, slots=True)
class Audience:
    """Askers who are told the same. Without networks the namespace makes no difference and is empty."""

    namespace: str = ""
    networks: frozenset[NetworkKey] = frozenset()


def audience_of(pod: Pod) -> Audience:
    return Audience(pod.namespace, frozenset(pod.networks)) if pod.networks else Audience()


@dataclass(frozen=True, slots=True)
class Named:
    """A service with what its names lead to. `networks` are those it declares itself; without them its pods' count."""

    name: str
    namespace: str
    service: ServiceView
    slices: Sequence[SliceView] = ()
    unready: bool = False
    external_name: str = ""
    networks: Attachments = field(default_factory=lambda: NOWHERE)

    def addresses(self) -> Iterator[str]:
        return (address for part in self.slices for end in part.endpoints or () for address in end.addresses)


@dataclass(frozen=True, slots=True)
class Told:
    """Records, and those that stand behind names of the asker's own namespace."""

    own: list[Record] = field(default_factory=list)
    elsewhere: list[Record] = field(default_factory=list)


def everything(named: Named, domain: str) -> list[Record]:
    """What a node is told. Raises ValueError for what makes no sense."""
    if named.service.spec.type == "ExternalName":
        return [external_record(named.name, named.namespace, named.external_name, domain)]
    return list(
        service_records(named.name, named.namespace, named.service, named.slices, domain, unready=named.unready)
    )


def told(named: Named, audience: Audience, who: WhoIs, domain: str) -> Told:
    """What one audience is told of a service. Raises ValueError for what makes no sense."""
    if not _knows(named, audience, who):
        return Told()
    seen = replace(named, slices=[_reachable(part, named, audience, who) for part in named.slices])
    found = Told(everything(seen, domain))
    if not audience.networks or named.service.spec.type == "ExternalName":
        return found
    tasks = [wire.address(address) for address in _serving(seen)]
    addresses = [wire.address(each) for each in named.service.spec.addresses] or tasks
    names = [named.name] if named.namespace != audience.namespace else []
    names += [alias for key, aliases in named.networks.items() if key in audience.networks for alias in aliases]
    short = found.elsewhere if named.namespace != audience.namespace else found.own
    for name in names:
        short += _under(name, audience.namespace, domain, addresses)
        short += _under(f"{TASKS}.{name}", audience.namespace, domain, tasks)
    found.own.extend(_under(f"{TASKS}.{named.name}", named.namespace, domain, tasks))
    return found


def told_of_pod(pod: Pod, place: str, audience: Audience, domain: str) -> Told:
    """What one audience is told of a pod at one of its addresses: its aliases on the Networks they share."""
    address = [wire.address(place)]
    records = [
        record
        for key, aliases in pod.networks.items()
        if key in audience.networks
        for alias in aliases
        for name in (alias, f"{TASKS}.{alias}")
        for record in _under(name, audience.namespace, domain, address)
    ]
    return Told(own=records) if pod.namespace == audience.namespace else Told(elsewhere=records)


def _under(name: str, namespace: str, domain: str, addresses: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    return (Record(f"{name}.{namespace}.svc.{domain}", kind, data) for kind, data in addresses)


def _serving(named: Named) -> Iterator[str]:
    return (
        address
        for part in named.slices
        for end in part.endpoints or ()
        if named.unready or is_ready(end)
        for address in end.addresses
    )


def _knows(named: Named, audience: Audience, who: WhoIs) -> bool:
    if named.networks:
        return bool(named.networks.keys() & audience.networks)
    ends = [who(address) for address in named.addresses()]
    pods = [pod for pod in ends if pod is not None]
    if pods:
        return any(_meet(pod, audience) for pod in pods)
    # It leads out of the pods, or nowhere yet: then nobody is hidden by not telling a pod that would reach none anyway.
    return not audience.networks or bool(ends) or named.service.spec.type == "ExternalName"


def _meet(pod: Pod, audience: Audience) -> bool:
    return bool(pod.networks.keys() & audience.networks) if audience.networks else not pod.networks


def _reachable(part: SliceView, named: Named, audience: Audience, who: WhoIs) -> SliceView:
    def reached(address: str) -> bool:
        pod = who(address)
        return pod is None or _meet(pod, audience) or (pod is SOMEBODY and bool(named.networks))

    def reaches(end: Endpoint) -> bool:
        return all(map(reached, end.addresses))

    return msgspec.structs.replace(part, endpoints=tuple(end for end in part.endpoints or () if reaches(end)))
