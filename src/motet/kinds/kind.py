"""What a kind is: everything the API machinery needs to serve it, as one value.

A module per kind builds one `Kind`; `catalogue.py` collects them. Nothing in the machinery names a kind:
a custom resource becomes a `Kind` too, made from its definition instead of a module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from motet.base.errors import FieldError
from motet.store.document import Document

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`. `priority` 0 always shows, 1 only with `-o wide`.

    `cell(document, now)` gives the value; `type` is string, integer, number, boolean or date (OpenAPI types).
    Strings that show an age are already rendered (`5m`), as upstream's are.
    """

    name: str
    cell: Callable[[Json, datetime], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a kind keeps what its `scale` subresource shows (paths without a leading dot)."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    # Gives the selector as text, for instance `app=web`.
    selector: Callable[[Json], str] = lambda document: ""


# What can be done through a `proxy` subresource: the verb follows from the method of the request.
PROXY_VERBS = ("create", "delete", "get", "patch", "update")


def nothing(document: Json) -> None:
    """The default defaulter and preparer: leaves the document alone."""


def no_errors(document: Json, old: Json | None) -> list[FieldError]:
    """The default validator: finds nothing beyond the schema."""
    return []


def unchanged(document: Json, old: Json) -> None:
    """The default update preparer."""


def not_prepared(document: Json, now: datetime) -> None:
    """The default preparer of a deletion."""


def no_fields(document: Document) -> Mapping[str, str]:
    """The default field set: name and namespace only, which the machinery adds itself."""
    return {}


@dataclass(frozen=True, slots=True)
class Projection:
    """How a kind shows the stored documents of another one (two API groups, one resource).

    Requests are rewritten with `write` before anything else happens to them and then are requests for `of`; answers are
    rewritten with `read` last. Both change a whole decoded document in place, `apiVersion` and `kind` included.
    `field_paths` gives the stored path of each field selector path.
    """

    of: Kind
    read: Callable[[Json], None]
    write: Callable[[Json], None]
    field_paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Aspect:
    """A subresource through which one part of a document is changed by rules of its own (pods' ephemeral containers).

    `take(sent, old)` is `old`, which stays untouched, with that part of what was sent; the rest of it is ignored.
    `validate(new, old)` stands in for the kind's own. `metadata`: labels and annotations may be changed along with it.
    """

    take: Callable[[Json, Json], Json]
    validate: Callable[[Json, Json], list[FieldError]]
    metadata: bool = False


class Versions(Protocol):
    """How the documents of a resource with several versions are kept in one of them and shown in another.

    Unlike a projection, a request in any version is defaulted and validated as what it is; only what is written is turned
    into the version that is kept, and what is read into the one that was asked for.
    """

    @property
    def waits(self) -> bool:
        """Whether turning one into another may take asking somebody."""
        ...

    def ready(self, document: Document) -> Document | None:
        """A stored document in this version; None when somebody has to be asked."""
        ...

    async def show(self, documents: Sequence[Document]) -> Sequence[Document]:
        """Stored documents in this version. Raises InternalError when whoever is asked cannot say."""
        ...

    async def take(self, document: Json) -> Json:
        """A document of any version in this one. Raises InternalError."""
        ...

    async def keep(self, document: Json) -> Json:
        """A document of this version as it is to be stored. Raises InternalError, Invalid."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind in one version. All callables are pure and work on decoded documents.

    Order of a create: types and unknown fields -> `default` -> admission -> `prepare_create` -> schema -> `validate(new, None)`.
    Order of an update: types and unknown fields -> `default` -> admission -> `prepare_update(new, old)` (not for the status
    subresource) -> schema -> `validate(new, old)`. A document that a projection shows is rewritten before the first `default`.
    The machinery itself does name/namespace/uid/creationTimestamp/generation (with a status subresource: generation grows when
    anything outside metadata and status changed) and keeps `status` apart from the rest on both paths.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    # Name of the definition in the schema table, for instance `io.k8s.api.apps.v1.Deployment`.
    schema: str = ""
    default: Callable[[Json], None] = nothing
    prepare_create: Callable[[Json], None] = nothing
    prepare_update: Callable[[Json, Json], None] = unchanged
    validate: Callable[[Json, Json | None], list[FieldError]] = no_errors
    # Why a metadata.name is not allowed, or an empty string.
    name_error: Callable[[str], str] | None = None
    status: bool = False
    # A create keeps the status it came with (Nodes, which register themselves complete).
    status_on_create: bool = False
    # Labels and annotations may be changed along with the status (upstream's own kinds; not custom resources).
    status_metadata: bool = True
    scale: Scale | None = None
    # Further subresources by name -> verbs; api/ has the behaviour, for instance pods' log, exec, binding.
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Those that change one part of the document (get, patch, update), by name.
    aspects: Mapping[str, Aspect] = field(default_factory=dict)
    # Selectable fields of a document beyond metadata.name and metadata.namespace, as text (read through a narrow view: hot).
    fields: Callable[[Document], Mapping[str, str]] = no_fields
    field_names: tuple[str, ...] = ()
    # Of those, the ones worth an index in the cache, for instance spec.nodeName.
    indexed_fields: tuple[str, ...] = ()
    columns: Sequence[Column] = ()
    # True: deletion waits for somebody to end it (pods: the agent), `grace_period` seconds by default.
    graceful: bool = False
    grace_period: Callable[[Json], int] = lambda document: 0
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    # PUT of an object that does not exist creates it (Leases, Endpoints, Events upstream).
    create_on_update: bool = False
    # Set when the documents are kept as those of another kind (events.k8s.io shows the core group's Events).
    projection: Projection | None = None
    # Set when the resource has several versions, or stored documents that have to be looked at before they are shown.
    versions: Versions | None = None
    # Called once, when a deletion begins: may add finalizers and say so in the status.
    prepare_delete: Callable[[Json, datetime], None] = not_prepared
    # Rules that are tried last, and only when nothing said so far stands in their way (CEL in custom resources).
    rules: Callable[[Json, Json | None, list[FieldError]], list[FieldError]] | None = None
    # Generations are counted even without a status subresource (custom resources).
    generations: bool = False
    # Finalizers need no domain (kinds that upstream keeps outside its core).
    any_finalizers: bool = False
    # What callers are told with every answer (a deprecated version).
    warning: str = ""
    # Why nothing new may be created; what is there can still be read, changed and deleted.
    closed: str = ""
    # The name of the list, where it is not the kind's with `List` behind it.
    list_name: str = ""

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The first two segments of a store key: `core/pods`, `apps/deployments` (of the kind it is kept as)."""
        if self.projection is not None:
            return self.projection.of.resource
        return f"{self.group or 'core'}/{self.plural}"

    @property
    def list_kind(self) -> str:
        return self.list_name or f"{self.kind}List"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path: `/apis/apps/v1/namespaces/default/deployments/web/status`."""
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        return f"{path}/{subresource}" if subresource else path
