"""The requests each kind answers, as OpenAPI path items.

Clients read more than prose from these: that PATCH knows `fieldValidation` (kubectl then leaves validation to the server),
which patch types a kind takes, and which kind an operation is about (`x-kubernetes-group-version-kind`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from motet.kinds.kind import Kind
from motet.kinds.schema.model import GroupVersionKind

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
# Strategic merge goes by facts of Go types.
_CUSTOM_PATCH_TYPES = tuple(media for media in PATCH_TYPES if "strategic" not in media)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path, version-neutral. `body` and `answer` are definition names; an empty answer is text."""

    method: str
    action: str
    name: str
    about: str
    kind: GroupVersionKind
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    answer: str = ""
    consumes: tuple[str, ...] = ("*/*",)
    codes: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Path:
    """One path with its operations and the names of its path parameters."""

    path: str
    arguments: tuple[str, ...]
    operations: tuple[Operation, ...]


ARGUMENTS = {
    "name": "name of the object",
    "namespace": "object name and auth scope, such as for teams and projects",
}
_PRETTY = Parameter("pretty", "string", "Print the answer indented when it is 'true'.")
_DRY_RUN = Parameter("dryRun", "string", "'All' runs every stage of the request but persists nothing.")
_MANAGER = Parameter("fieldManager", "string", "Who makes the change, at most 128 printable characters.")
_VALIDATION = Parameter(
    "fieldValidation",
    "string",
    "What to do about unknown or duplicate fields: 'Ignore' drops them, 'Warn' (the default) drops them and says so, "
    "'Strict' refuses the request.",
)
_FORCE = Parameter("force", "boolean", "Take fields over from other managers. Only for apply patches.")
_LIST = (
    _PRETTY,
    Parameter("allowWatchBookmarks", "boolean", "Ask a watch for BOOKMARK events now and then."),
    Parameter("continue", "string", "Where the previous page of a list ended."),
    Parameter("fieldSelector", "string", "Only objects with these fields."),
    Parameter("labelSelector", "string", "Only objects with these labels."),
    Parameter("limit", "integer", "The most objects to answer with; more are had by 'continue'."),
    Parameter("resourceVersion", "string", "The version to list at or to watch from."),
    Parameter("resourceVersionMatch", "string", "How resourceVersion applies to a list: 'Exact' or 'NotOlderThan'."),
    Parameter("sendInitialEvents", "boolean", "Begin a watch with the objects there are, ended by a bookmark."),
    Parameter("timeoutSeconds", "integer", "End the request after so long."),
    Parameter("watch", "boolean", "Stream changes instead of answering with a list."),
)
_WRITE = (_PRETTY, _DRY_RUN, _MANAGER, _VALIDATION)
_DELETE = (
    _PRETTY,
    _DRY_RUN,
    Parameter("gracePeriodSeconds", "integer", "Seconds the object has to end in order; 0 deletes at once."),
    Parameter("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    Parameter("propagationPolicy", "string", "What becomes of dependents: 'Orphan', 'Background' or 'Foreground'."),
)
# What is posted to a subresource, where that is another kind than the resource's own.
_POSTED = {
    "binding": ("io.k8s.api.core.v1.Binding", GroupVersionKind("", "v1", "Binding")),
    "eviction": ("io.k8s.api.policy.v1.Eviction", GroupVersionKind("policy", "v1", "Eviction")),
    "token": (
        "io.k8s.api.authentication.v1.TokenRequest",
        GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest"),
    ),
}
_SCALE = ("io.k8s.api.autoscaling.v1.Scale", GroupVersionKind("autoscaling", "v1", "Scale"))
_STREAMS = ("attach", "exec", "portforward", "log", "proxy")
_WORDS = {
    "list": "list or watch objects of kind {}",
    "get": "read the specified {}",
    "post": "create a {}",
    "put": "replace the specified {}",
    "patch": "partially update the specified {}",
    "delete": "delete the specified {}",
    "deletecollection": "delete a collection of {}",
    "connect": "connect to the specified {}",
}


def list_name(kind: Kind) -> str:
    """The definition of a kind's list."""
    return f"{kind.schema.rpartition('.')[0]}.{kind.list_kind}"


def paths(kind: Kind) -> Iterator[Path]:
    """Every path of a kind, subresources included."""
    scope = ("namespace",) if kind.namespaced else ()
    collection = kind.path("{namespace}")
    if kind.namespaced and "list" in kind.verbs:
        yield Path(kind.path(), (), (_operation(kind, "get", "list", "ForAllNamespaces"),))
    yield Path(collection, scope, tuple(_collection(kind)))
    yield Path(f"{collection}/{{name}}", (*scope, "name"), tuple(_item(kind)))
    for name, operations in _subresources(kind):
        yield Path(f"{collection}/{{name}}/{name}", (*scope, "name"), tuple(operations))


def _collection(kind: Kind) -> Iterator[Operation]:
    if "list" in kind.verbs:
        yield _operation(kind, "get", "list")
    if "create" in kind.verbs:
        yield _operation(kind, "post", "post")
    if "deletecollection" in kind.verbs:
        yield _operation(kind, "delete", "deletecollection")


def _item(kind: Kind) -> Iterator[Operation]:
    for verb, action in (("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")):
        if verb in kind.verbs:
            yield _operation(kind, action, action)


def _subresources(kind: Kind) -> Iterator[tuple[str, list[Operation]]]:
    updates = ("get", "put", "patch")
    if kind.status:
        yield "status", [_operation(kind, action, action, "Status") for action in updates]
    if kind.scale is not None:
        yield "scale", [_operation(kind, action, action, "Scale", *_SCALE) for action in updates]
    for name in kind.aspects:
        if name == "status":
            continue
        yield name, [_operation(kind, action, action, f"{name[0].upper()}{name[1:]}") for action in updates]
    for name, verbs in kind.subresources.items():
        suffix = name.capitalize()
        if name in _STREAMS:
            methods = [method for verb, method in (("get", "get"), ("create", "post")) if verb in verbs]
            yield name, [_stream(kind, method, name) for method in methods]
        elif name in _POSTED:
            yield name, [_operation(kind, "post", "post", suffix, *_POSTED[name])]
        else:
            methods = [
                method for verb, method in (("get", "get"), ("update", "put"), ("patch", "patch")) if verb in verbs
            ]
            yield name, [_operation(kind, method, method, suffix) for method in methods]


def _gvk(kind: Kind) -> GroupVersionKind:
    return GroupVersionKind(kind.group, kind.version, kind.kind)


def _stream(kind: Kind, method: str, name: str) -> Operation:
    action = "get" if name == "log" else "connect"
    return Operation(
        method=method,
        action=action,
        name=_name(kind, method, "connect" if action == "connect" else "read", name.capitalize()),
        about=f"{name} of the specified {kind.kind}",
        kind=_gvk(kind),
    )


def _operation(
    kind: Kind,
    method: str,
    action: str,
    suffix: str = "",
    schema: str = "",
    gvk: GroupVersionKind | None = None,
) -> Operation:
    schema = schema or kind.schema
    verb = {"get": "read", "post": "create", "put": "replace"}.get(action, action)
    parameters: tuple[Parameter, ...] = _LIST
    codes: tuple[int, ...] = (200,)
    consumes: tuple[str, ...] = ("*/*",)
    body, answer = "", schema
    match action:
        case "list":
            answer = list_name(kind)
        case "get":
            parameters = (_PRETTY,)
        case "post":
            parameters, body, codes = _WRITE, schema, (200, 201, 202)
        case "put":
            parameters, body, codes = _WRITE, schema, (200, 201)
        case "patch":
            parameters, body, codes = (*_WRITE, _FORCE), META + "Patch", (200, 201)
            consumes = PATCH_TYPES if kind.versions is None else _CUSTOM_PATCH_TYPES
        case "delete":
            parameters, body, answer, codes = _DELETE, META + "DeleteOptions", META + "Status", (200, 202)
        case "deletecollection":
            parameters, body, answer = (*_LIST, *_DELETE[1:]), META + "DeleteOptions", META + "Status"
    return Operation(
        method=method,
        action=action,
        name=_name(kind, "", verb, suffix),
        about=_WORDS[action].format(f"{suffix.lower()} of {kind.kind}" if schema != kind.schema else kind.kind),
        kind=gvk or _gvk(kind),
        parameters=parameters,
        body=body,
        answer=answer,
        consumes=consumes,
        codes=codes,
    )


def _name(kind: Kind, method: str, verb: str, suffix: str) -> str:
    """A unique operation id, in upstream's pattern: readCoreV1NamespacedPodStatus."""
    group = (kind.group.removesuffix(".k8s.io") or "core").title().replace(".", "").replace("-", "")
    if suffix == "ForAllNamespaces":
        return f"{verb}{group}{kind.version.title()}{kind.kind}{suffix}"
    scope = "Namespaced" if kind.namespaced else ""
    target = f"Collection{scope}{kind.kind}" if verb == "deletecollection" else f"{scope}{kind.kind}{suffix}"
    verb = "delete" if verb == "deletecollection" else verb
    return f"{verb}{method.title()}{group}{kind.version.title()}{target}"


def rendered_gvk(kind: GroupVersionKind) -> dict[str, Any]:
    """As the extension `x-kubernetes-group-version-kind` of an operation has it."""
    return kind._asdict()
