"""Endpoints: the older form of endpoint slices, one object for a whole service."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column, shortened
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_empty, objects, text


def default(document: Json) -> None:
    for subset in objects(document, "subsets"):
        for port in objects(subset, "ports"):
            fill_empty(port, "protocol", "TCP")


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = []
    for index, subset in enumerate(objects(document, "subsets")):
        path = f"subsets[{index}]"
        if not objects(subset, "addresses") and not objects(subset, "notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(objects(subset, key)):
                here = f"{path}.{key}[{at}]"
                errors += checks.reachable_ip(f"{here}.ip", text(address, "ip"))
                errors += checks.named(f"{here}.hostname", text(address, "hostname"), names.label_error, needed=False)
        ports = objects(subset, "ports")
        for at, port in enumerate(ports):
            here = f"{path}.ports[{at}]"
            errors += checks.named(f"{here}.name", text(port, "name"), names.label_error, needed=len(ports) > 1)
            errors += checks.port(f"{here}.port", port.get("port", 0))
            errors += checks.one_of(f"{here}.protocol", text(port, "protocol"), ("SCTP", "TCP", "UDP"))
    return errors


def _endpoints(document: Json) -> str:
    if not objects(document, "subsets"):
        return NONE
    found = []
    for subset in objects(document, "subsets"):
        addresses = [text(address, "ip") for address in objects(subset, "addresses")]
        ports = objects(subset, "ports")
        if not ports:
            found += addresses
        for port in ports:
            found += [
                f"[{address}]:{port.get('port')}" if ":" in address else f"{address}:{port.get('port')}"
                for address in addresses
            ]
    return shortened(found, empty="")


KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    singular="endpoints",
    short_names=("ep",),
    schema="io.k8s.api.core.v1.Endpoints",
    default=default,
    validate=validate,
    columns=(NAME, column("Endpoints", _endpoints, about="Addresses and ports that are ready."), AGE),
    create_on_update=True,
)
