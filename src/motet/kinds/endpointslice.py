"""Endpoint slices: where the pods behind a service are."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, shortened, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, objects, strings, text

MAX_ENDPOINTS = 1000
MAX_ADDRESSES = 100
MAX_PORTS = 20000


def default(document: Json) -> None:
    for port in objects(document, "ports"):
        fill_absent(port, "name", "")
        fill_absent(port, "protocol", "TCP")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    family = text(document, "addressType")
    errors = checks.one_of("addressType", family, ("FQDN", "IPv4", "IPv6"))
    if old is not None:
        errors += checks.unchanged("addressType", family, text(old, "addressType"))
    endpoints, ports = objects(document, "endpoints"), objects(document, "ports")
    if len(endpoints) > MAX_ENDPOINTS:
        return [*errors, checks.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)]
    if len(ports) > MAX_PORTS:
        return [*errors, checks.too_many("ports", len(ports), MAX_PORTS)]
    for index, endpoint in enumerate(endpoints):
        errors += _endpoint(endpoint, f"endpoints[{index}]", family)
    errors += checks.distinct((f"ports[{index}].name", text(port, "name")) for index, port in enumerate(ports))
    for index, port in enumerate(ports):
        errors += checks.named(f"ports[{index}].name", text(port, "name"), names.label_error, needed=False)
        errors += checks.one_of(f"ports[{index}].protocol", text(port, "protocol"), ("SCTP", "TCP", "UDP"))
    return errors


def _endpoint(endpoint: Json, path: str, family: str) -> list[FieldError]:
    addresses = strings(endpoint, "addresses")
    if not addresses:
        return [required(f"{path}.addresses", "must contain at least 1 address")]
    if len(addresses) > MAX_ADDRESSES:
        return [checks.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES)]
    errors = []
    for index, address in enumerate(addresses):
        here = f"{path}.addresses[{index}]"
        match family:
            case "IPv4" | "IPv6":
                wrong = checks.ip(here, address, 4 if family == "IPv4" else 6)
                errors += wrong or checks.reachable_ip(here, address)
            case "FQDN":
                errors += checks.named(here, address, names.subdomain_error)
    errors += checks.named(f"{path}.nodeName", text(endpoint, "nodeName"), names.subdomain_error, needed=False)
    return [*errors, *checks.named(f"{path}.hostname", text(endpoint, "hostname"), names.label_error, needed=False)]


def _ports(document: Json) -> str:
    return shortened(
        [str(port["port"]) if port.get("port") else text(port, "name") or "*" for port in objects(document, "ports")]
    )


def _addresses(document: Json) -> str:
    return shortened(
        [address for endpoint in objects(document, "endpoints") for address in strings(endpoint, "addresses")]
    )


KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    singular="endpointslice",
    schema="io.k8s.api.discovery.v1.EndpointSlice",
    default=default,
    validate=validate,
    columns=(
        NAME,
        column("AddressType", text_at("addressType"), about="IPv4, IPv6 or FQDN."),
        column("Ports", _ports, about="The ports of all its endpoints."),
        column("Endpoints", _addresses, about="The addresses of its endpoints."),
        AGE,
    ),
)
