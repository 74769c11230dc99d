"""NetworkPolicy and Networks read off the page: may this connection be made? As slow and as plain as can be, to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from motet.kinds.attachments import NetworkKey
from motet.kinds.network import NetworkSpec
from motet.network.policy.views import Pod

NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
Json = dict[str, Any]


def matches(selector: Json | None, labels: Json) -> bool:
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in (selector or {}).get("matchExpressions") or ():
        key, values = expression["key"], expression.get("values") or []
        match expression["operator"]:
            case "In":
                holds = key in labels and labels[key] in values
            case "NotIn":
                holds = key not in labels or labels[key] not in values
            case "Exists":
                holds = key in labels
            case _:
                holds = key not in labels
        if not holds:
            return False
    return True


def may(
    way: str,
    pod: Pod,
    other: str,
    protocol: int,
    port: int,
    policies: Sequence[tuple[str, Json]],
    pods: Sequence[Pod],
    namespaces: dict[str, Json],
) -> bool:
    """Whether `pod` may be talked to by (`ingress`), or may talk to (`egress`), the address `other` on a port.

    The port is always the one the connection is made to. `policies` are (namespace, spec).
    """
    applying = [
        (namespace, spec)
        for namespace, spec in policies
        if namespace == pod.namespace
        and matches(spec.get("podSelector"), dict(pod.labels))
        and way.capitalize() in (spec.get("policyTypes") or (["Ingress"] + (["Egress"] if spec.get("egress") else [])))
    ]
    if not applying:
        return True
    peer_key = "from" if way == "ingress" else "to"
    for namespace, spec in applying:
        for rule in spec.get(way) or ():
            answering = [pod] if way == "ingress" else [each for each in pods if each.address == other]
            if not _port(rule.get("ports"), protocol, port, answering):
                continue
            if not rule.get(peer_key) or any(
                _peer(peer, namespace, other, pods, namespaces) for peer in rule[peer_key]
            ):
                return True
    return False


def _port(ports: list[Json] | None, protocol: int, port: int, answering: list[Pod]) -> bool:
    if not ports:
        return True
    for each in ports:
        spoken = each.get("protocol", "TCP")
        if NUMBERS[spoken] != protocol:
            continue
        wanted = each.get("port")
        if wanted is None:
            return True
        if isinstance(wanted, int):
            if wanted <= port <= each.get("endPort", wanted):
                return True
        elif any((wanted, spoken, port) in pod.ports for pod in answering):
            return True
    return False


def _peer(peer: Json, namespace: str, other: str, pods: Sequence[Pod], namespaces: dict[str, Json]) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        address = ip_address(other)
        return address in ip_network(block["cidr"], strict=False) and not any(
            address in ip_network(excepted, strict=False) for excepted in block.get("except") or ()
        )
    for pod in pods:
        if pod.address != other:
            continue
        if "namespaceSelector" in peer:
            if not matches(peer["namespaceSelector"], namespaces[pod.namespace]):
                continue
        elif pod.namespace != namespace:
            continue
        if matches(peer.get("podSelector"), dict(pod.labels)):
            return True
    return False


def share(one: Pod, two: Pod) -> bool:
    return any(key in two.networks for key in one.networks)


def may_on_networks(
    way: str,
    pod: Pod,
    other: str,
    pods: Sequence[Pod],
    networks: dict[NetworkKey, NetworkSpec],
    gateways: frozenset[str],
) -> bool:
    """The same of Networks. What comes in from outside has come by a published port; that others do not is the node's care."""
    if not pod.networks:
        return True
    for peer in pods:
        if peer.address == other:
            return share(pod, peer)
    if ip_address(other) in ip_network("10.42.0.0/16"):
        return way == "ingress" and other in gateways
    if way == "ingress":
        return True
    inside_only = all(key not in networks or networks[key].internal for key in pod.networks)
    return not inside_only or ip_address(other) in ip_network("10.43.0.0/16")
