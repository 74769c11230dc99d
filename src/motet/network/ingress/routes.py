"""Which request goes where: Ingresses and Services -> routes in the order they are tried. Pure.

Kubernetes "Ingress": a host that is spelled out before one with a wildcard before none, an exact path before prefixes, the
longer prefix before the shorter. Where two Ingresses claim the same, the older keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from motet.kinds.ingress import EXACT
from motet.network.ingress.views import Backend, IngressView, ServiceView

Lookup = Callable[[str, str], ServiceView | None]


@dataclass(frozen=True, slots=True)
class Route:
    """`host` may begin with `*.` for one label, and is empty for any; `target` is `ADDRESS:PORT`, empty where there is none."""

    host: str
    path: str
    exact: bool
    target: str
    secure: bool = False

    @property
    def _rank(self) -> tuple[int, int, bool, int, str]:
        wildcard = self.host.startswith("*.")
        return (not self.host, wildcard, not self.exact, -len(self.path), self.path)


@dataclass(frozen=True, slots=True)
class Secret:
    """A certificate's name: (namespace, secret)."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Routes in the order of trying, the secrets whose certificates are needed, and what cannot be served: (Ingress, why)."""

    routes: tuple[Route, ...] = ()
    secrets: tuple[Secret, ...] = ()
    complaints: tuple[tuple[tuple[str, str], str], ...] = ()


def plan(ingresses: Iterable[IngressView], service: Lookup) -> Plan:
    """`service(namespace, name)` finds Services."""
    routes: dict[tuple[str, str, bool], Route] = {}
    secrets: dict[Secret, None] = {}
    complaints = []
    for ingress in sorted(ingresses, key=lambda each: (each.metadata.creation_timestamp or "", each.metadata.uid)):
        meta = ingress.metadata
        secure = {host for tls in ingress.spec.tls or () for host in tls.hosts or ()}
        for tls in ingress.spec.tls or ():
            if tls.secret_name:
                secrets[Secret(meta.namespace, tls.secret_name)] = None
        for host, path, exact, backend in _claims(ingress):
            target, problem = _target(backend, meta.namespace, service)
            if problem:
                complaints.append(((meta.namespace, meta.name), problem))
            claim = (host.lower(), path, exact)
            routes.setdefault(claim, Route(host.lower(), path, exact, target, _covered(host, secure)))
    ordered = tuple(sorted(routes.values(), key=lambda route: route._rank))
    return Plan(ordered, tuple(secrets), tuple(dict.fromkeys(complaints)))


def _claims(ingress: IngressView) -> Iterator[tuple[str, str, bool, Backend]]:
    """(host, path, exact, backend) of each rule; the default backend comes last, for any host and path."""
    for rule in ingress.spec.rules or ():
        paths = rule.http.paths if rule.http is not None else ()
        for entry in paths:
            yield rule.host, entry.path or "/", entry.path_type == EXACT, entry.backend
        if not paths and ingress.spec.default_backend is not None:
            yield rule.host, "/", False, ingress.spec.default_backend
    if ingress.spec.default_backend is not None:
        yield "", "/", False, ingress.spec.default_backend


def _covered(host: str, secure: set[str]) -> bool:
    """Whether a certificate was asked for this host: itself, or with a wildcard in the place of its first label."""
    return host in secure or f"*.{host.partition('.')[2]}" in secure


def _target(backend: Backend, namespace: str, service: Lookup) -> tuple[str, str]:
    """Where to send, and why nowhere."""
    if backend.service is None:
        return "", "a backend that is no Service cannot be served: spec.rules[].http.paths[].backend.resource"
    name, wanted = backend.service.name, backend.service.port
    found = service(namespace, name)
    if found is None:
        return "", f'service "{name}" not found'
    spec = found.spec
    for port in spec.ports or ():
        if port.port == wanted.number or (wanted.name and port.name == wanted.name):
            number = port.port
            break
    else:
        if spec.type != "ExternalName" or not wanted.number:
            return "", f'service "{name}" has no port {wanted.name or wanted.number}'
        number = wanted.number
    if spec.type == "ExternalName":
        return f"{spec.external_name}:{number}", ""
    if spec.cluster_ip in ("", "None"):
        return "", f'service "{name}" is headless: an Ingress needs a Service with an address'
    return f"{spec.cluster_ip}:{number}", ""
