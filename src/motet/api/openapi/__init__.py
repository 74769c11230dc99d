"""The OpenAPI documents clients ask for: version 3 by group, and version 2 whole, as JSON and as protobuf.

Made from the kinds a catalogue serves and the schema table; nothing that cannot be reached from those is published.
Making one takes milliseconds to tens of milliseconds: callers keep the bytes as long as their catalogue stays the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from motet.api.openapi import gnostic
from motet.api.openapi.merging import Part, merged
from motet.api.openapi.operations import ARGUMENTS, META, Operation, list_name, paths, rendered_gvk
from motet.api.openapi.schemas import V2, V3, Definitions
from motet.base import release
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind
from motet.kinds.schema import model, prose, table
from motet.kinds.schema.model import Field, GroupVersionKind, Schema

Json = dict[str, Any]

# What to answer the protobuf form with: clients ask for `...spec.v2@v1.0+protobuf`, but Go cannot parse that back.
V2_PROTOBUF_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ALWAYS = ("Status", "DeleteOptions", "Patch", "WatchEvent", "APIResourceList", "APIGroup")
_OUTCOMES = {200: "OK", 201: "Created", 202: "Accepted"}


def v3_index(catalogue: Catalogue) -> bytes:
    """`/openapi/v3`: the documents there are, each with the hash of its content in its URL (so clients may keep it)."""
    found = {}
    for group, versions in catalogue.groups().items():
        for version in versions:
            digest = hashlib.sha256(v3_document(catalogue, group, version)).hexdigest().upper()
            path = _group_path(group, version)
            found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return msgspec.json.encode({"paths": found})


def v3_document(catalogue: Catalogue, group: str, version: str) -> bytes:
    """`/openapi/v3/apis/GROUP/VERSION` (`/openapi/v3/api/v1` for the empty group)."""
    return msgspec.json.encode(v3(catalogue, group, version))


def v2_document(catalogue: Catalogue, protobuf: bool, others: Sequence[Part] = ()) -> bytes:
    """`/openapi/v2`: everything in one document, in the protobuf form kubectl up to 1.28 insists on, or as JSON.

    `others` are documents of other servers, each with the version it is asked about.
    """
    document = merged(v2(catalogue), others) if others else v2(catalogue)
    return gnostic.encode(document) if protobuf else msgspec.json.encode(document)


def v3(catalogue: Catalogue, group: str, version: str) -> Json:
    """The version 3 document of one group and version; without paths when nothing is served there."""
    kinds = [kind for kind in catalogue if (kind.group, kind.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": release.KUBERNETES},
        "paths": {path: item for kind in kinds for path, item in _paths(kind, _operation_v3, _argument_v3)},
        "components": {"schemas": _published(Definitions(V3, prose.load()), kinds)},
    }


def v2(catalogue: Catalogue) -> Json:
    """The version 2 document of everything served."""
    kinds = list(catalogue)
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": release.KUBERNETES},
        "paths": {path: item for kind in kinds for path, item in _paths(kind, _operation_v2, _argument_v2)},
        "definitions": _published(Definitions(V2, prose.load()), kinds),
    }


def v2_protobuf(catalogue: Catalogue) -> bytes:
    """The same in protobuf."""
    return gnostic.encode(v2(catalogue))


def _group_path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _published(definitions: Definitions, kinds: Iterable[Kind]) -> Json:
    """The definitions of the kinds, their lists and all that their operations mention."""
    kinds = list(kinds)
    for name in _ALWAYS:
        definitions.reference(table.get(META + name))
    lists = {list_name(kind): kind for kind in kinds}
    for kind in kinds:
        for path in paths(kind):
            for operation in path.operations:
                for name in (operation.body, operation.answer):
                    if name in lists and name not in table.shipped():
                        definitions.reference(_list_schema(lists[name]))
                    elif name:
                        definitions.reference(table.get(name))
    return definitions.all()


def _list_schema(kind: Kind) -> Schema:
    """The list of a kind whose definitions do not spell one out."""
    text = Schema(type=model.STRING)
    items = Schema(type=model.LIST, items=table.get(kind.schema), description=f"List of {kind.plural}.")
    fields = {
        "apiVersion": Field("apiVersion", text, False),
        "items": Field("items", items, True),
        "kind": Field("kind", text, False),
        "metadata": Field("metadata", table.get(META + "ListMeta"), False),
    }
    gvk = GroupVersionKind(kind.group, kind.version, kind.list_kind)
    about = f"{kind.list_kind} is a list of {kind.kind}"
    return Schema(type=model.STRUCT, name=list_name(kind), kinds=(gvk,), load_fields=lambda: fields, description=about)


def _paths(kind: Kind, operation: Any, argument: Any) -> Iterator[tuple[str, Json]]:
    for path in paths(kind):
        item: Json = {found.method: operation(found) for found in path.operations}
        if path.arguments:
            item["parameters"] = [argument(name) for name in path.arguments]
        yield path.path, item


def _common(operation: Operation) -> Json:
    return {
        "description": operation.about,
        "operationId": operation.name,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": rendered_gvk(operation.kind),
    }


def _argument_v3(name: str) -> Json:
    text = {"type": "string", "uniqueItems": True}
    return {"name": name, "in": "path", "description": ARGUMENTS[name], "required": True, "schema": text}


def _argument_v2(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "description": ARGUMENTS[name],
        "required": True,
        "type": "string",
        "uniqueItems": True,
    }


def _operation_v3(operation: Operation) -> Json:
    rendered = _common(operation)
    rendered["parameters"] = [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": {"type": parameter.type, "uniqueItems": True},
        }
        for parameter in operation.parameters
    ]
    if operation.body:
        content = {media: {"schema": {"$ref": V3.prefix + operation.body}} for media in operation.consumes}
        rendered["requestBody"] = {"content": content, "required": operation.action in ("post", "put", "patch")}
    shown = {"$ref": V3.prefix + operation.answer} if operation.answer else {"type": "string"}
    answer = {"content": {"application/json" if operation.answer else "text/plain": {"schema": shown}}}
    rendered["responses"] = {
        **{str(code): {"description": _OUTCOMES[code], **answer} for code in operation.codes},
        "401": {"description": "Unauthorized"},
    }
    return rendered


def _operation_v2(operation: Operation) -> Json:
    rendered = _common(operation)
    rendered["consumes"] = list(operation.consumes)
    rendered["produces"] = ["application/json" if operation.answer else "text/plain"]
    parameters: list[Json] = [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "type": parameter.type,
            "uniqueItems": True,
        }
        for parameter in operation.parameters
    ]
    if operation.body:
        needed = operation.action in ("post", "put", "patch")
        schema = {"$ref": V2.prefix + operation.body}
        parameters.insert(0, {"name": "body", "in": "body", "required": needed, "schema": schema})
    rendered["parameters"] = parameters
    shown = {"$ref": V2.prefix + operation.answer} if operation.answer else {"type": "string"}
    rendered["responses"] = {
        **{str(code): {"description": _OUTCOMES[code], "schema": shown} for code in operation.codes},
        "401": {"description": "Unauthorized"},
    }
    return rendered
