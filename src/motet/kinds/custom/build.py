"""From a definition to the kinds it serves: one `Kind` for each version, all kept in one place.

Whatever a built-in kind has in its module, a custom one has in its definition: the schema with its defaults and rules, the
subresources, the columns, the fields that can be selected by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from motet.base.errors import FieldError
from motet.base.timestamps import parse_time
from motet.kinds import ages
from motet.kinds.columns import AGE, NAME
from motet.kinds.custom import embedded, jsonpath, rules
from motet.kinds.custom.definition import TERMINATING, TRUE, condition
from motet.kinds.kind import Column, Json, Kind, Scale, Versions
from motet.kinds.schema import listtypes, structural
from motet.kinds.schema.model import GroupVersionKind, Schema
from motet.kinds.shape import mapping, objects, strings, text
from motet.store.document import Document

# Gives the way between stored and shown documents of one version, by its apiVersion.
Between = Callable[[str], Versions]

_CLOSED = "create not allowed while custom resource definition is terminating"


def schema_name(group: str, version: str, kind: str) -> str:
    """What a definition is published as: `com.example.stable.v1.CronTab`."""
    return ".".join((*reversed(group.split(".")), version, kind))


def schemas(definition: Json) -> dict[str, Schema]:
    """The schema of every version, served or not, by its apiVersion."""
    spec = mapping(definition, "spec")
    group, kind = text(spec, "group"), text(spec, "names", "kind")
    found = {}
    for version in objects(spec, "versions"):
        name = text(version, "name")
        gvk = GroupVersionKind(group, name, kind)
        openapi = mapping(version, "schema", "openAPIV3Schema")
        found[f"{group}/{name}"] = structural.resource(schema_name(*gvk), gvk, openapi)
    return found


def kinds(definition: Json, known: Mapping[str, Schema], between: Between) -> list[Kind]:
    """The kinds of the versions served. `known` are the schemas of this definition."""
    spec = mapping(definition, "spec")
    names = mapping(definition, "status", "acceptedNames")
    closed = _CLOSED if condition(definition, TERMINATING) == TRUE else ""
    group = text(spec, "group")
    return [
        _kind(spec, names, version, known[f"{group}/{text(version, 'name')}"], between, closed)
        for version in objects(spec, "versions")
        if version.get("served") is True
    ]


def _kind(spec: Json, names: Json, version: Json, schema: Schema, between: Between, closed: str) -> Kind:
    group, name, kind = text(spec, "group"), text(version, "name"), text(names, "kind")
    fields = [text(field, "jsonPath") for field in objects(version, "selectableFields")]
    return Kind(
        group=group,
        version=name,
        kind=kind,
        plural=text(names, "plural"),
        singular=text(names, "singular"),
        short_names=tuple(strings(names, "shortNames")),
        categories=tuple(strings(names, "categories")),
        list_name=text(names, "listKind"),
        namespaced=text(spec, "scope") == "Namespaced",
        schema=schema.name,
        default=_defaulter(schema),
        validate=_validator(schema),
        rules=_rules(schema),
        status="status" in mapping(version, "subresources"),
        status_metadata=False,
        scale=_scale(mapping(version, "subresources")),
        field_names=tuple(path.removeprefix(".") for path in fields),
        columns=_columns(objects(version, "additionalPrinterColumns")),
        versions=between(f"{group}/{name}"),
        generations=True,
        any_finalizers=True,
        warning=_deprecation(version, f"{group}/{name} {kind}"),
        closed=closed,
    )


def _defaulter(schema: Schema) -> Callable[[Json], None]:
    def default(document: Json) -> None:
        filled = structural.fill_defaults(schema, document)
        if filled is not document:
            document.update(filled)

    return default


def _validator(schema: Schema) -> Callable[[Json, Json | None], list[FieldError]]:
    def validate(document: Json, old: Json | None) -> list[FieldError]:
        return [*listtypes.complaints(schema, document), *embedded.complaints(schema, document)]

    return validate


def _rules(schema: Schema) -> Callable[[Json, Json | None, list[FieldError]], list[FieldError]] | None:
    root = rules.root(schema.source or {})
    if not rules.has_any(root):
        return None

    def apply(document: Json, old: Json | None, errors: list[FieldError]) -> list[FieldError]:
        return [rules.unchecked()] if rules.blocking(errors) else rules.complaints(root, document, old)

    return apply


def _scale(subresources: Json) -> Scale | None:
    scale = subresources.get("scale")
    if not isinstance(scale, dict):
        return None
    where = text(scale, "labelSelectorPath")

    def selector(document: Json) -> str:
        found = jsonpath.find(where, document) if where else []
        return found[0] if found and isinstance(found[0], str) else ""

    return Scale(
        spec_replicas=text(scale, "specReplicasPath").removeprefix("."),
        status_replicas=text(scale, "statusReplicasPath").removeprefix("."),
        selector=selector,
    )


def _deprecation(version: Json, what: str) -> str:
    if not version.get("deprecated"):
        return ""
    return text(version, "deprecationWarning") or f"{what} is deprecated"


def _columns(given: list[Json]) -> Sequence[Column]:
    """Name, and what the definition says; just the age when it says nothing."""
    return (NAME, *map(_column, given)) if given else (NAME, AGE)


def _column(given: Json) -> Column:
    path, kind = text(given, "jsonPath"), text(given, "type")

    def cell(document: Json, now: datetime) -> Any:
        found = jsonpath.find(path, document)
        return _cell(kind, found[0], now) if found else None

    return Column(
        text(given, "name"),
        cell,
        type=kind,
        format=text(given, "format"),
        priority=int(given.get("priority") or 0),
        description=text(given, "description") or f"Custom resource definition column (in JSONPath format): {path}",
    )


def _cell(kind: str, value: Any, now: datetime) -> Any:
    """A value as its column shows it; None when it is of another type."""
    if kind == "string":
        return jsonpath.shown(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "integer":
            return int(value) if number else None
        case "number":
            return float(value) if number else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date" if isinstance(value, str):
            try:
                return ages.duration((now - parse_time(value)).total_seconds())
            except ValueError:
                return "<invalid>"
    return None


class SelectableFields:
    """The fields of a resource's documents that can be selected by: those of all its versions.

    One per resource, since documents are kept once; told of new paths when the definition changes.
    """

    def __init__(self) -> None:
        self._paths: tuple[str, ...] = ()

    def tell(self, definition: Json) -> None:
        """Take the paths of a definition."""
        versions = objects(definition, "spec", "versions")
        paths = [text(field, "jsonPath") for version in versions for field in objects(version, "selectableFields")]
        self._paths = tuple(dict.fromkeys(paths))

    def __call__(self, document: Document) -> Mapping[str, str]:
        if not self._paths:
            return {}
        decoded = document.decode()
        return {path.removeprefix("."): _selectable(jsonpath.find(path, decoded)) for path in self._paths}


def _selectable(found: list[Any]) -> str:
    return jsonpath.shown(found[0]) if found else ""
