"""Ingresses (networking.k8s.io/v1): which HTTP requests from outside go to which service."""

from __future__ import annotations

import ipaddress

from motet.base import names
from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, objects, strings, text

EXACT, PREFIX, IMPLEMENTATION = "Exact", "Prefix", "ImplementationSpecific"
# How classes were named before `spec.ingressClassName`.
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_FORBIDDEN_PARTS = ("//", "/./", "/../", "%2f", "%2F")
_FORBIDDEN_ENDS = ("/..", "/.")


def prepare_create(document: Json) -> None:
    document["status"] = {"loadBalancer": {}}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = []
    rules = objects(spec, "rules")
    backend = spec.get("defaultBackend")
    if not rules and not isinstance(backend, dict):
        errors.append(invalid("spec", spec, "either `defaultBackend` or `rules` must be specified"))
    if isinstance(backend, dict):
        errors += _backend("spec.defaultBackend", backend)
    for index, tls in enumerate(objects(spec, "tls")):
        for at, host in enumerate(strings(tls, "hosts")):
            errors += _host(f"spec.tls[{index}].hosts[{at}]", host)
        secret = text(tls, "secretName")
        errors += checks.named(f"spec.tls[{index}].secretName", secret, names.subdomain_error, needed=False)
    for index, rule in enumerate(rules):
        errors += _rule(f"spec.rules[{index}]", rule)
    wanted = text(spec, "ingressClassName")
    errors += checks.named("spec.ingressClassName", wanted, names.subdomain_error, needed=False)
    annotation = mapping(document, "metadata", "annotations").get(CLASS_ANNOTATION)
    if old is None and wanted and annotation is not None:
        path = f"metadata.annotations[{CLASS_ANNOTATION}]"
        errors.append(invalid(path, annotation, "can not be set when the class field is also set"))
    return errors


def _host(path: str, host: str) -> list[FieldError]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        plain = host.removeprefix("*.")
        problem = names.subdomain_error(plain)
        return [invalid(path, host, problem)] if problem else []
    return [invalid(path, host, "must be a DNS name, not an IP address")]


def _rule(path: str, rule: Json) -> list[FieldError]:
    errors = _host(f"{path}.host", text(rule, "host")) if text(rule, "host") else []
    http = rule.get("http")
    if not isinstance(http, dict):
        return errors
    if not objects(http, "paths"):
        errors.append(required(f"{path}.http.paths"))
    for index, each in enumerate(objects(http, "paths")):
        errors += _path(f"{path}.http.paths[{index}]", each)
    return errors


def _path(path: str, entry: Json) -> list[FieldError]:
    kind, found = text(entry, "pathType"), text(entry, "path")
    errors = checks.one_of(f"{path}.pathType", kind, (EXACT, IMPLEMENTATION, PREFIX))
    if not found.startswith("/") and (found or kind in (EXACT, PREFIX)):
        errors.append(invalid(f"{path}.path", found, "must be an absolute path"))
    elif kind in (EXACT, PREFIX):
        parts = [part for part in _FORBIDDEN_PARTS if part in found]
        errors += [invalid(f"{path}.path", found, f"must not contain '{part}'") for part in parts]
        ends = [end for end in _FORBIDDEN_ENDS if found.endswith(end)]
        errors += [invalid(f"{path}.path", found, f"cannot end with '{end}'") for end in ends]
    return errors + _backend(f"{path}.backend", mapping(entry, "backend"))


def _backend(path: str, backend: Json) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if isinstance(service, dict) and isinstance(resource, dict):
        return [invalid(path, "", "cannot set both resource and service backends")]
    if isinstance(resource, dict):
        errors = [] if text(resource, "kind") else [required(f"{path}.resource.kind")]
        return errors if text(resource, "name") else [*errors, required(f"{path}.resource.name")]
    if not isinstance(service, dict):
        return [required(path, "a service or a resource must be named")]
    errors = checks.named(f"{path}.service.name", text(service, "name"), names.label_1035_error)
    port = mapping(service, "port")
    name, number = text(port, "name"), port.get("number")
    if name and number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif name:
        errors += checks.named(f"{path}.service.port.name", name, names.port_name_error)
    elif number:
        errors += checks.port(f"{path}.service.port.number", number)
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def class_of(document: Json) -> str:
    """The name of its class, said in either way, or an empty string."""
    annotation = mapping(document, "metadata", "annotations").get(CLASS_ANNOTATION)
    return text(document, "spec", "ingressClassName") or (annotation if isinstance(annotation, str) else "")


def _hosts(document: Json) -> str:
    hosts = [host for rule in objects(document, "spec", "rules") if (host := text(rule, "host"))]
    if len(hosts) > 3:
        return f"{','.join(hosts[:3])} + {len(hosts) - 3} more..."
    return ",".join(hosts) or "*"


def _address(document: Json) -> str:
    points = objects(document, "status", "loadBalancer", "ingress")
    return ",".join(dict.fromkeys(text(point, "ip") or text(point, "hostname") for point in points))


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    singular="ingress",
    short_names=("ing",),
    schema="io.k8s.api.networking.v1.Ingress",
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Class", lambda document: class_of(document) or NONE, about="Who serves it."),
        column("Hosts", _hosts, about="The hosts its rules are about."),
        column("Address", _address, about="Where it is served."),
        column(
            "Ports", lambda document: "80, 443" if objects(document, "spec", "tls") else "80", about="On which ports."
        ),
        AGE,
    ),
)
