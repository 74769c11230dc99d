"""Admission: what may still change or refuse a write after its author was let in (Kubernetes "Admission Controllers").

A chain is an ordered list of plugins; all mutating ones run before the document is validated, all validating ones after.
A plugin is a plain function over a `Request`; one that must wait (a webhook) is a coroutine function. Plugins refuse by
raising an `ApiError`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from motet.api.deletion import NAMESPACES
from motet.api.options import DeleteOptions, RequestOptions
from motet.api.users import User
from motet.base.errors import NAMESPACE_TERMINATING, ApiError, Forbidden, not_found, qualified
from motet.kinds.kind import Json, Kind
from motet.store.table import Table

Verb = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
Lookup = Callable[[str], Table]
Held = list[Callable[[], None]]


@dataclass(slots=True)
class Request:
    """One write. `new` is None for DELETE, `old` for CREATE; a mutating plugin changes `new` in place.

    `lookup(resource)` is the cache's table of, for instance, core/namespaces.
    """

    kind: Kind
    verb: Verb
    namespace: str
    name: str
    new: Json | None
    old: Json | None
    user: User
    lookup: Lookup
    subresource: str = ""
    dry_run: bool = False
    # With which options; None for requests that have none (CONNECT).
    options: RequestOptions | DeleteOptions | None = None
    # What the author is told besides the answer, and what is noted down about the request.
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    # Set by a plugin at the end that changed the object: those before it look at it once more, and `again` is set.
    changed: bool = False
    again: bool = False
    # What plugins remember between their two looks.
    notes: dict[str, bytes] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The new state as bytes, to find out whether anybody changed it."""
        return msgspec.json.encode(self.new)

    # Called when the write has ended, however: what a plugin set aside for it.
    held: Held = field(default_factory=list)


Action = Callable[[Request], Awaitable[None] | None]
# From a document as it was sent and its namespace.
Salt = Callable[[Json, str, Lookup], bytes | None]


@dataclass(frozen=True, slots=True)
class Plugin:
    """`resources` and `verbs` say what it wants to see; an empty tuple of resources is all of them.

    `template_safe`: what a mutating one does follows from the spec alone, so that it need not see every pod of one
    template; a validating one does not read the document, parts of which may then be bytes.
    """

    name: str
    act: Action
    mutating: bool = False
    resources: tuple[str, ...] = ()
    verbs: tuple[Verb, ...] = ("CREATE", "UPDATE")
    subresources: bool = False
    template_safe: bool = False
    # What a mutating one goes by besides the spec: pods of one template and equal salts come out the same, and it does not
    # wait for anything. None for a pod that has to be looked at by itself.
    salt: Salt | None = None
    # In place of `resources`, `verbs` and `subresources`, for one whose interest changes (call `Chain.forget` then).
    interest: Callable[[str, Verb, str], bool] | None = None
    # It looks at what is deleted, not only at its name.
    whole: bool = False

    def wants(self, resource: str, verb: Verb, subresource: str) -> bool:
        if self.interest is not None:
            return self.interest(resource, verb, subresource)
        if self.resources and resource not in self.resources:
            return False
        return verb in self.verbs and (self.subresources or not subresource)


class Chain:
    """An ordered list of plugins, remembered per resource, verb and subresource so that a write asks only who cares."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._wanting: dict[tuple[str, Verb, str, bool], tuple[Action, ...]] = {}
        self._watchful: dict[tuple[str, Verb, str], bool] = {}
        self._salts: dict[str, tuple[Salt, ...]] = {}
        self._looking: dict[tuple[str, Verb], bool] = {}
        self._wanted: dict[tuple[str, Verb, str], bool] = {}

    def watchful(self, resource: str, verb: Verb, subresource: str = "") -> bool:
        """Whether any plugin has to see every single document of such writes."""
        key = (resource, verb, subresource)
        known = self._watchful.get(key)
        if known is None:
            known = self._watchful[key] = any(
                not plugin.template_safe and plugin.salt is None and plugin.wants(*key) for plugin in self.plugins
            )
        return known

    def salt(self, resource: str, document: Json, namespace: str, lookup: Lookup) -> bytes | None:
        """What the outcome of a create hangs on besides the spec; None when this document is a case of its own."""
        salts = self._salts.get(resource)
        if salts is None:
            salts = self._salts[resource] = tuple(
                plugin.salt
                for plugin in self.plugins
                if plugin.salt is not None and plugin.wants(resource, "CREATE", "")
            )
        found = b""
        for salt in salts:
            part = salt(document, namespace, lookup)
            if part is None:
                return None
            found += part + b";"
        return found

    def forget(self) -> None:
        """Ask the plugins anew what they want: the interest of one has changed."""
        self._wanting.clear()
        self._watchful.clear()
        self._salts.clear()
        self._looking.clear()
        self._wanted.clear()

    def looks(self, resource: str, verb: Verb) -> bool:
        """Whether any plugin wants to see what such a request is about."""
        known = self._looking.get((resource, verb))
        if known is None:
            known = self._looking[resource, verb] = any(
                plugin.whole and plugin.wants(resource, verb, "") for plugin in self.plugins
            )
        return known

    def wanted(self, resource: str, verb: Verb, subresource: str) -> bool:
        """Whether any plugin wants to see such a request at all."""
        key = (resource, verb, subresource)
        known = self._wanted.get(key)
        if known is None:
            known = self._wanted[key] = any(plugin.wants(*key) for plugin in self.plugins)
        return known

    async def mutate(self, request: Request) -> bool:
        """Run the mutating plugins; whether there were any. Raises what a plugin refuses with."""
        found = await self._run(request, mutating=True)
        if request.changed:
            request.again = True
            await self._run(request, mutating=True)
            request.again = False
        return found

    async def validate(self, request: Request) -> None:
        """Run the validating plugins. Raises what a plugin refuses with."""
        await self._run(request, mutating=False)

    async def _run(self, request: Request, *, mutating: bool) -> bool:
        key = (request.kind.resource, request.verb, request.subresource, mutating)
        actions = self._wanting.get(key)
        if actions is None:
            resource, verb, subresource, _ = key
            actions = self._wanting[key] = tuple(
                plugin.act
                for plugin in self.plugins
                if plugin.mutating == mutating and plugin.wants(resource, verb, subresource)
            )
        for act in actions:
            waiting = act(request)
            if waiting is not None:
                await waiting
        return bool(actions)


def release(held: Held) -> None:
    """A write has ended: let go of what was set aside for it."""
    while held:
        held.pop()()


def refusal(request: Request, why: str, **details: object) -> Forbidden:
    """403 in upstream's words: `pods "web" is forbidden: ...`."""
    kind = request.kind
    shown = f'{qualified(kind.group, kind.plural)} "{request.name}" is forbidden: {why}'
    found: dict[str, object] = {"name": request.name} if request.name else {}
    if kind.group:
        found["group"] = kind.group
    return Forbidden(shown, details={**found, "kind": kind.plural, **details})


# Namespaces that the cluster cannot do without.
_IMMORTAL = ("default", "kube-system", "kube-public")


def living_namespace(request: Request) -> None:
    """Objects are created only in namespaces that exist and are not being deleted (NamespaceLifecycle)."""
    if not request.kind.namespaced:
        return
    error = namespace_problem(request)
    if error is not None:
        raise error


def namespace_problem(request: Request) -> ApiError | None:
    namespace = request.lookup(NAMESPACES).get(request.namespace)
    if namespace is None:
        return not_found("", "namespaces", request.namespace)
    if namespace.meta.deletion_timestamp is None:
        return None
    cause = {
        "reason": NAMESPACE_TERMINATING,
        "message": f"namespace {request.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    why = f"unable to create new content in namespace {request.namespace} because it is being terminated"
    return refusal(request, why, causes=[cause])


def immortal_namespaces(request: Request) -> None:
    """default, kube-system and kube-public cannot be deleted (NamespaceLifecycle)."""
    if request.name in _IMMORTAL:
        raise refusal(request, "this namespace may not be deleted")


_MIRROR = "kubernetes.io/config.mirror"


def is_mirror(pod: Json) -> bool:
    """Whether a pod is only the picture of one that a node runs by itself."""
    metadata = pod.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and _MIRROR in annotations


def default_service_account(request: Request) -> None:
    """Pods run as the service account `default` unless they name one (ServiceAccount)."""
    pod = request.new or {}
    spec = pod.get("spec")
    if isinstance(spec, dict) and not spec.get("serviceAccountName") and not is_mirror(pod):
        spec["serviceAccountName"] = spec["serviceAccount"] = spec.get("serviceAccount") or "default"


_NODE_TROUBLES = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
# Seconds a pod stays on a node in trouble before it is evicted.
NODE_TROUBLE_SECONDS = 300


def default_toleration_seconds(request: Request) -> None:
    """Pods stay five minutes on a node that is not ready or not reachable, unless they say (DefaultTolerationSeconds)."""
    spec = (request.new or {}).get("spec")
    if not isinstance(spec, dict):
        return
    own = spec.get("tolerations") or []
    missing = [trouble for trouble in _NODE_TROUBLES if not any(_tolerates(one, trouble) for one in own)]
    if missing:
        limited = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_TROUBLE_SECONDS}
        spec["tolerations"] = [*own, *({"key": trouble, **limited} for trouble in missing)]


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)


STORAGE_CLASSES = "storage.k8s.io/storageclasses"
INGRESS_CLASSES = "networking.k8s.io/ingressclasses"
_DEFAULT_STORAGE = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_DEFAULT_INGRESS = ("ingressclass.kubernetes.io/is-default-class",)


def default_storage_class(request: Request) -> None:
    """Claims that name no class get the newest default one (DefaultStorageClass)."""
    _default_class(
        request, "storageClassName", "volume.beta.kubernetes.io/storage-class", STORAGE_CLASSES, _DEFAULT_STORAGE
    )


def default_ingress_class(request: Request) -> None:
    """Ingresses that name no class get the newest default one (DefaultIngressClass)."""
    _default_class(request, "ingressClassName", "kubernetes.io/ingress.class", INGRESS_CLASSES, _DEFAULT_INGRESS)


def _default_class(request: Request, field: str, annotation: str, classes: str, marks: tuple[str, ...]) -> None:
    """Fill in `spec.FIELD` unless it or the annotation of old says something."""
    document = request.new or {}
    spec = document.get("spec")
    annotations = (document.get("metadata") or {}).get("annotations") or {}
    if not isinstance(spec, dict) or spec.get(field) is not None or annotation in annotations:
        return
    defaults = [
        found
        for found in request.lookup(classes)
        if any((found.meta.annotations or {}).get(mark) == "true" for mark in marks)
    ]
    if defaults:
        newest = max(defaults, key=lambda found: (found.meta.creation_timestamp or "", found.name))
        spec[field] = newest.name


_PODS = ("core/pods",)

BUILT_IN = (
    Plugin("NamespaceLifecycle", living_namespace, verbs=("CREATE",), template_safe=True),
    Plugin("NamespaceLifecycle", immortal_namespaces, resources=(NAMESPACES,), verbs=("DELETE",)),
    Plugin(
        "ServiceAccount",
        default_service_account,
        mutating=True,
        resources=_PODS,
        verbs=("CREATE",),
        salt=lambda pod, namespace, lookup: None if is_mirror(pod) else b"",
    ),
    Plugin("DefaultTolerationSeconds", default_toleration_seconds, mutating=True, resources=_PODS, template_safe=True),
    Plugin(
        "DefaultStorageClass",
        default_storage_class,
        mutating=True,
        resources=("core/persistentvolumeclaims",),
        verbs=("CREATE",),
    ),
    Plugin(
        "DefaultIngressClass",
        default_ingress_class,
        mutating=True,
        resources=("networking.k8s.io/ingresses",),
        verbs=("CREATE",),
    ),
)
