"""Schemas of the table as OpenAPI: everything that can be reached from the kinds being served, and nothing else.

Version 3 and version 2 differ in how a reference carries facts beside it and in having `oneOf`; a `Dialect` says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motet.api.openapi import custom
from motet.kinds.schema import table
from motet.kinds.schema.model import Schema
from motet.kinds.schema.prose import Prose

Json = dict[str, Any]

_MACHINERY = "io.k8s.apimachinery.pkg."
# Scalars with a definition of their own, so that `kubectl explain` can name them.
_NAMED_SCALARS = {
    "quantity": _MACHINERY + "api.resource.Quantity",
    "int-or-string": _MACHINERY + "util.intstr.IntOrString",
    "time": _MACHINERY + "apis.meta.v1.Time",
    "microtime": _MACHINERY + "apis.meta.v1.MicroTime",
}
_PLAIN: dict[str, Json] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "bytes": {"type": "string", "format": "byte"},
    "struct": {"type": "object"},
    "map": {"type": "object"},
    "list": {"type": "array"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "any": {},
}


@dataclass(frozen=True)
class Dialect:
    """What differs between OpenAPI versions."""

    prefix: str
    # Facts beside a reference need an allOf around it.
    wraps: bool
    # Unions are allowed.
    unions: bool


V3 = Dialect("#/components/schemas/", wraps=True, unions=True)
V2 = Dialect("#/definitions/", wraps=False, unions=False)


class Definitions:
    """Collects definitions: ask for references, then take `all()`."""

    def __init__(self, dialect: Dialect, prose: Mapping[str, Prose]) -> None:
        self._dialect = dialect
        self._prose = prose
        self._made: dict[str, Json] = {}
        self._waiting: dict[str, Schema] = {}

    def reference(self, schema: Schema) -> Json:
        """A reference to a named definition, which will be among `all()`."""
        if schema.name not in self._made:
            self._waiting.setdefault(schema.name, schema)
        return {"$ref": self._dialect.prefix + schema.name}

    def all(self) -> dict[str, Json]:
        """Every definition referred to, directly or not, by name in order."""
        while self._waiting:
            name, schema = self._waiting.popitem()
            self._made[name] = {}
            self._made[name] = self._definition(name, schema)
        return dict(sorted(self._made.items()))

    def _definition(self, name: str, schema: Schema) -> Json:
        if schema.source is not None:
            return custom.definition(schema, self._meta, v2=not self._dialect.unions)
        prose = self._prose.get(name, Prose())
        body: Json = {}
        if prose.text or schema.description:
            body["description"] = prose.text or schema.description
        body.update(self._body(schema, prose))
        body.update(_facts(schema))
        kinds = [kind for kind in schema.kinds if kind.version != "*"]
        if kinds:
            body["x-kubernetes-group-version-kind"] = [kind._asdict() for kind in kinds]
        return body

    def _meta(self, text: str) -> Json:
        """A member of a custom resource that is ObjectMeta."""
        node = self.reference(table.get(table.META + "ObjectMeta"))
        return {"description": text, "allOf": [node]} if self._dialect.wraps else {"description": text, **node}

    def _body(self, schema: Schema, prose: Prose) -> Json:
        """The value itself, without the facts around it."""
        match schema.type:
            case "struct":
                members = {m.name: self._member(m.schema, prose.fields.get(m.name, "")) for m in schema.fields.values()}
                required = [m.name for m in schema.fields.values() if m.required]
                body: Json = {"type": "object"}
                if members:
                    body["properties"] = members
                if required:
                    body["required"] = required
                return body
            case "map" if schema.values is not None:
                return {"type": "object", "additionalProperties": self._node(schema.values)}
            case "list" if schema.items is not None:
                return {"type": "array", "items": self._node(schema.items)}
            case "quantity":
                union = [{"type": "string"}, {"type": "number"}]
                return {"oneOf": union} if self._dialect.unions else {"type": "string"}
            case "int-or-string":
                if not schema.typed:
                    return {"x-kubernetes-int-or-string": True}
                union = [{"type": "integer"}, {"type": "string"}]
                one = {"oneOf": union} if self._dialect.unions else {"type": "string"}
                return {**one, "format": "int-or-string"}
        body = dict(_PLAIN[schema.type])
        if schema.format:
            body["format"] = schema.format
        if schema.name and schema.type == "any" and schema.name.endswith(("RawExtension", "FieldsV1", "Patch")):
            body["type"] = "object"
        return body

    def _node(self, schema: Schema) -> Json:
        """A value where it is used: a reference when it has a name, else itself with its facts."""
        if schema.name:
            return self.reference(schema)
        if schema.typed and schema.type in _NAMED_SCALARS:
            return self.reference(schema.with_facts(name=_NAMED_SCALARS[schema.type]))
        return {**self._body(schema, Prose()), **_facts(schema)}

    def _member(self, schema: Schema, text: str) -> Json:
        node = self._node(schema)
        text = text or ("" if schema.name else schema.description)
        if "$ref" not in node:
            return {"description": text, **node} if text else node
        beside: Json = {"description": text} if text else {}
        beside.update(_patch_facts(schema))
        if not beside:
            return node
        return {**beside, "allOf": [node]} if self._dialect.wraps else {**beside, **node}


def _patch_facts(schema: Schema) -> Json:
    facts: Json = {}
    if schema.merge_key:
        facts["x-kubernetes-patch-merge-key"] = schema.merge_key
    if schema.strategies:
        facts["x-kubernetes-patch-strategy"] = ",".join(schema.strategies)
    return facts


def _facts(schema: Schema) -> Json:
    facts = _patch_facts(schema)
    if schema.list_type:
        facts["x-kubernetes-list-type"] = schema.list_type
    if schema.list_keys:
        facts["x-kubernetes-list-map-keys"] = list(schema.list_keys)
    if schema.map_type:
        facts["x-kubernetes-map-type"] = schema.map_type
    if schema.enum:
        facts["enum"] = list(schema.enum)
    if schema.default is not None:
        facts["default"] = schema.default
    if schema.nullable:
        facts["nullable"] = True
    if schema.preserve and not schema.typed:
        facts["x-kubernetes-preserve-unknown-fields"] = True
    facts.update(schema.rules)
    return facts
