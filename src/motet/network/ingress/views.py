"""What serving Ingresses reads of Ingresses, their classes and Services."""

from __future__ import annotations

import msgspec

from motet.kinds.ingress import CLASS_ANNOTATION
from motet.kinds.ingressclass import OURS
from motet.store.document import Meta
from motet.store.table import Table


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class BackendPort(_Struct, frozen=True):
    name: str = ""
    number: int = 0


class ServiceBackend(_Struct, frozen=True):
    name: str = ""
    port: BackendPort = BackendPort()


class Backend(_Struct, frozen=True):
    """`service` is None for a backend that is some other resource, which nobody here serves."""

    service: ServiceBackend | None = None


class Path(_Struct, frozen=True):
    backend: Backend = Backend()
    path: str = ""
    path_type: str = ""


class Http(_Struct, frozen=True):
    paths: tuple[Path, ...] = ()


class Rule(_Struct, frozen=True):
    host: str = ""
    http: Http | None = None


class Tls(_Struct, frozen=True):
    hosts: tuple[str, ...] | None = None
    secret_name: str = ""


class IngressSpec(_Struct, frozen=True):
    ingress_class_name: str = ""
    default_backend: Backend | None = None
    rules: tuple[Rule, ...] | None = None
    tls: tuple[Tls, ...] | None = None


class IngressView(_Struct, frozen=True):
    metadata: Meta
    spec: IngressSpec = IngressSpec()

    @property
    def class_name(self) -> str:
        return self.spec.ingress_class_name or (self.metadata.annotations or {}).get(CLASS_ANNOTATION, "")


class _ClassSpec(_Struct, frozen=True):
    controller: str = ""


class ClassView(_Struct, frozen=True):
    spec: _ClassSpec = _ClassSpec()


class ServicePort(_Struct, frozen=True):
    port: int
    name: str = ""


class ServiceSpec(_Struct, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_name: str = ""
    ports: tuple[ServicePort, ...] | None = None


class ServiceView(_Struct, frozen=True):
    spec: ServiceSpec = ServiceSpec()


def ours(ingress: IngressView, classes: Table) -> bool:
    """Whether it is for Motet's own nodes to serve."""
    found = classes.get(ingress.class_name) if ingress.class_name else None
    return found is not None and found.view(ClassView).spec.controller == OURS
