"""One node of a schema: a value's type and everything the machinery has to know to check, merge or decode it.

A `Schema` is a struct (named `fields`), a map (`values`), a list (`items`) or a scalar. Built-in definitions come from
the table, custom resources from their OpenAPI v3 structural schema; both give this same tree. Fields of a struct are
built when first asked for, so a definition may contain itself (JSONSchemaProps does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

# The types. The first group are JSON's own, the second Kubernetes' scalars with rules of their own.
STRUCT, MAP, LIST, STRING, INTEGER, NUMBER, BOOLEAN = "struct", "map", "list", "string", "integer", "number", "boolean"
INT_OR_STRING, QUANTITY, TIME, MICRO_TIME, BYTES, ANY = "int-or-string", "quantity", "time", "microtime", "bytes", "any"


class GroupVersionKind(NamedTuple):
    """`group` is empty for the core group; `*` as group and version stands for every one (DeleteOptions)."""

    group: str
    version: str
    kind: str


class Field(NamedTuple):
    """One named member of a struct.

    `wire` is the protobuf field number, preceded by the numbers of the messages that Go embeds and JSON does not show:
    a Volume's `secret` is (2, 6), the VolumeSource being number 2. Empty when the field has no wire form.
    `pointer` fields are sent only when set, so their zero means something; the others are always sent.
    """

    name: str
    schema: Schema
    required: bool
    wire: tuple[int, ...] = ()
    pointer: bool = False


FieldMap = Mapping[str, Field]


@dataclass(frozen=True, kw_only=True, eq=False)
class Schema:
    """A node. Compared by identity: two nodes with the same facts are still two places in a document."""

    type: str
    # The definition's full name (io.k8s.api.core.v1.Pod); empty for nodes inside one.
    name: str = ""
    # int32, int64, double, and whatever a custom resource says.
    format: str = ""
    items: Schema | None = None
    values: Schema | None = None
    load_fields: Callable[[], FieldMap] | None = None
    # Unknown members are kept rather than pruned.
    preserve: bool = False
    # A whole object with apiVersion, kind and metadata of its own.
    embedded: bool = False
    nullable: bool = False
    enum: tuple[Any, ...] = ()
    default: Any = None
    # Server-side apply: set, map or atomic; keys of a map list; granular or atomic for structs and maps.
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    # Strategic merge patch: the key items are matched by, and any of merge, replace, retainKeys.
    merge_key: str = ""
    strategies: tuple[str, ...] = ()
    # JSON Schema value rules kept under their own names: minimum, maxLength, pattern, allOf ...
    rules: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    kinds: tuple[GroupVersionKind, ...] = ()
    # Rules in CEL (x-kubernetes-validations), as they were written.
    validations: tuple[Mapping[str, Any], ...] = ()
    # Of a custom resource's root: the OpenAPI schema it was made from, for whoever publishes it.
    source: Mapping[str, Any] | None = None
    # True for definitions read from the Go types: wrong JSON types are decoding errors (400), not field errors (422).
    typed: bool = True

    @property
    def fields(self) -> FieldMap:
        """The members of a struct by name; empty for anything else."""
        known: FieldMap | None = self.__dict__.get("_fields")
        if known is None:
            known = self.load_fields() if self.load_fields is not None else {}
            self.__dict__["_fields"] = known
        return known

    def with_facts(self, **facts: Any) -> Schema:
        """The same node with some facts replaced, as where a field that refers to a definition says more about it."""
        return replace(self, **facts)

    def at(self, *path: str) -> Schema | None:
        """The node under a path of member names, stepping through list items and map values; None when there is none."""
        node: Schema | None = self
        for step in path:
            if node is None:
                return None
            while node.items is not None:
                node = node.items
            node = node.values if node.values is not None else _schema_of(node.fields.get(step))
        return node

    def children(self) -> Iterator[Schema]:
        """The nodes one level down."""
        for member in self.fields.values():
            yield member.schema
        for node in (self.items, self.values):
            if node is not None:
                yield node


def _schema_of(member: Field | None) -> Schema | None:
    return member.schema if member is not None else None


def zero(schema: Schema) -> Any:
    """Go's zero value as JSON: what a required field holds when the sender left it empty."""
    match schema.type:
        case "struct" | "map" | "any":
            return {}
        case "list":
            return []
        case "integer" | "number" | "int-or-string":
            return 0
        case "boolean":
            return False
        case "quantity":
            return "0"
        case "time" | "microtime":
            return None
        case _:
            return ""
