"""NetworkPolicies (networking.k8s.io/v1): which connections pods may have."""

from __future__ import annotations

import ipaddress
from typing import Any

from motet.base import selectors
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import each, fill_empty, mapping, objects, strings, text

INGRESS, EGRESS = "Ingress", "Egress"
PROTOCOLS = ("TCP", "UDP", "SCTP")
_CIDR_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def default(document: Json) -> None:
    spec = mapping(document, "spec")
    for direction in ("ingress", "egress"):
        for rule in objects(spec, direction):
            each(rule, "ports", lambda port: fill_empty(port, "protocol", "TCP"))
    if not spec.get("policyTypes"):
        spec["policyTypes"] = [INGRESS, EGRESS] if spec.get("egress") else [INGRESS]


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = checks.label_selector("spec.podSelector", mapping(spec, "podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(objects(spec, direction)):
            path = f"spec.{direction}[{index}]"
            for at, port in enumerate(objects(rule, "ports")):
                errors += _port(f"{path}.ports[{at}]", port)
            for at, peer in enumerate(objects(rule, peers)):
                errors += _peer(f"{path}.{peers}[{at}]", peer)
    types = strings(spec, "policyTypes")
    if len(types) > 2:
        errors.append(invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
    for index, kind in enumerate(types):
        errors += checks.one_of(f"spec.policyTypes[{index}]", kind, (EGRESS, INGRESS))
    return errors


def _port(path: str, port: Json) -> list[FieldError]:
    errors = checks.one_of(f"{path}.protocol", text(port, "protocol"), PROTOCOLS, needed=False)
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        errors += checks.port_or_name(f"{path}.port", number)
    if end is None:
        return errors
    if number is None:
        errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
    elif isinstance(number, str):
        errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
    elif isinstance(end, int) and end < number:
        errors.append(invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
    return errors + checks.port(f"{path}.endPort", end)


def _peer(path: str, peer: Json) -> list[FieldError]:
    errors = []
    selecting = [key for key in ("podSelector", "namespaceSelector") if isinstance(peer.get(key), dict)]
    block = peer.get("ipBlock")
    if not selecting and not isinstance(block, dict):
        return [required(path, "must specify a peer")]
    if selecting and isinstance(block, dict):
        errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    for key in selecting:
        errors += checks.label_selector(f"{path}.{key}", mapping(peer, key))
    if isinstance(block, dict):
        errors += _block(f"{path}.ipBlock", block)
    return errors


def _block(path: str, block: Json) -> list[FieldError]:
    cidr = text(block, "cidr")
    if not cidr:
        return [required(f"{path}.cidr")]
    outer = _network(cidr)
    if outer is None:
        return [invalid(f"{path}.cidr", cidr, _CIDR_MESSAGE)]
    errors = []
    for index, excepted in enumerate(strings(block, "except")):
        inner = _network(excepted)
        here = f"{path}.except[{index}]"
        if inner is None:
            errors.append(invalid(here, excepted, _CIDR_MESSAGE))
        elif inner.version != outer.version or inner == outer or not inner.subnet_of(outer):
            errors.append(invalid(here, excepted, f"must be a strict subset of `cidr` ({cidr})"))
    return errors


def _network(text: str) -> Any:
    """An address range; host bits may be set, as upstream allows; None when it is none."""
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _selector(document: Json) -> str:
    try:
        return str(selectors.from_document(mapping(document, "spec", "podSelector"))) or NONE
    except (KeyError, TypeError, ValueError):
        return "<error>"


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    singular="networkpolicy",
    short_names=("netpol",),
    schema="io.k8s.api.networking.v1.NetworkPolicy",
    default=default,
    validate=validate,
    columns=(NAME, column("Pod-Selector", _selector, about="The pods it is about."), AGE),
)
