"""Networks -> for every pod of this node that is on any, whom it may talk to. Pure.

Swarm's rules: pods that share a Network reach each other, and no other pods; what lies outside of the cluster is reached by
whoever is on a Network that is not internal. Rules hold on both ends, so pods on no Network need none of their own. Nodes reach
all pods, and whatever comes in from outside by a published port looks like a node, or like itself once a node has let it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from motet.base.ip import Network
from motet.kinds.attachments import NetworkKey
from motet.kinds.network import NetworkSpec
from motet.network.policy.boxes import Box, disjoint, spans
from motet.network.policy.compile import Allowed
from motet.network.policy.views import Pod

_WHOLE: Mapping[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}


@dataclass(frozen=True, slots=True)
class Separated:
    """What Networks ask of this node, beside what policies do.

    `members` are all pods on Networks, of every node, `secret` those on encrypted ones; `confined` are those of this node that
    are on internal ones only.
    """

    ingress: Mapping[str, Allowed] = field(default_factory=dict)
    egress: Mapping[str, Allowed] = field(default_factory=dict)
    members: frozenset[str] = frozenset()
    confined: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.members)


@dataclass(frozen=True, slots=True)
class Ground:
    """The addresses of a cluster in one family: all pods', all services', and where other nodes' own connections come from."""

    pods: Network
    services: Network
    gateways: frozenset[str] = frozenset()


def separate(pods: Iterable[Pod], networks: Mapping[NetworkKey, NetworkSpec], ground: Ground) -> Separated:
    """A Network that is not in `networks` keeps its pods together and lets nothing out, as an internal one does."""
    members: dict[frozenset[NetworkKey], set[str]] = {}
    local: dict[frozenset[NetworkKey], set[str]] = {}
    for together in _alike(pods):
        on = frozenset(together[0].networks)
        members.setdefault(on, set()).update(pod.address for pod in together)
        if here := [pod.address for pod in together if pod.local]:
            local.setdefault(on, set()).update(here)
    outside = _boxes(spans(_WHOLE[ground.pods.version], [ground.pods]))
    # Nobody is behind a service address that is still one when it comes here, and asking it is refused.
    nobody = _boxes(spans(ground.services, ()))
    ingress: dict[str, Allowed] = {}
    egress: dict[str, Allowed] = {}
    confined: set[str] = set()
    for on, addresses in local.items():
        peers = frozenset(address for other, those in members.items() if on & other for address in those)
        internal = all(networks.get(key, _UNKNOWN).internal for key in on)
        into = Allowed(peers | ground.gateways, boxes=outside)
        out = Allowed(peers, boxes=nobody if internal else outside)
        ingress |= dict.fromkeys(addresses, into)
        egress |= dict.fromkeys(addresses, out)
        if internal:
            confined |= addresses
    secret = (those for on, those in members.items() if any(networks.get(key, _UNKNOWN).encrypted for key in on))
    return Separated(
        ingress,
        egress,
        members=frozenset().union(*members.values()),
        confined=frozenset(confined),
        secret=frozenset().union(*secret),
    )


_UNKNOWN = NetworkSpec(internal=True)


def _alike(pods: Iterable[Pod]) -> Iterable[list[Pod]]:
    """The pods that are on any Network, those together that surely are on the same: one annotation is read into one object."""
    found: dict[int, list[Pod]] = {}
    for pod in pods:
        if pod.networks:
            found.setdefault(id(pod.networks), []).append(pod)
    return found.values()


def _boxes(found: Iterable[tuple[int, int]]) -> tuple[Box, ...]:
    return disjoint(Box(span) for span in found)
