"""What may stand in the `spec` of a CustomResourceDefinition (upstream: apiextensions validation)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required
from motet.kinds import checks, clientconfig
from motet.kinds.custom import defaults, invariants, jsonpath, openapi, rules
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, strings, text

SCOPES = ("Cluster", "Namespaced")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    "byte", "date", "date-time", "double", "float", "int32", "int64", "password"
)  # fmt: skip
REVIEW_VERSIONS = ("v1", "v1beta1")
_MOST_SELECTABLE = 8
_LONGEST_WARNING = 256
_MIXED_CASE = "may have mixed case, but should otherwise match: "
# What the root of a schema may hold when its status is a subresource: OpenAPI's name and upstream's.
_AT_ROOT = {
    "description": "Description", "type": "Type", "format": "Format", "title": "Title", "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum", "minimum": "Minimum", "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength", "minLength": "MinLength", "pattern": "Pattern", "maxItems": "MaxItems",
    "minItems": "MinItems", "uniqueItems": "UniqueItems", "multipleOf": "MultipleOf", "required": "Required",
    "items": "Items", "properties": "Properties", "externalDocs": "ExternalDocs", "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields", "x-kubernetes-validations": "XValidations",
}  # fmt: skip


def validate(spec: Json, path: str = "spec") -> list[FieldError]:
    """Every complaint about a `spec`."""
    return list(_spec(spec, path))


def _spec(spec: Json, path: str) -> Iterator[FieldError]:
    group = text(spec, "group")
    yield from checks.named(f"{path}.group", group, names.subdomain_error)
    if group and not names.subdomain_error(group) and "." not in group:
        yield invalid(f"{path}.group", group, "should be a domain with at least one dot")
    yield from checks.one_of(f"{path}.scope", text(spec, "scope"), SCOPES)
    if spec.get("preserveUnknownFields") is True:
        detail = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        yield invalid(f"{path}.preserveUnknownFields", True, detail)
    versions = objects(spec, "versions")
    for index, version in enumerate(versions):
        yield from _version(version, f"{path}.versions[{index}]")
    seen = [text(version, "name") for version in versions]
    if len(set(seen)) < len(seen):
        yield invalid(f"{path}.versions", seen, "must contain unique version names")
    if sum(version.get("storage") is True for version in versions) != 1:
        yield invalid(f"{path}.versions", seen, "must have exactly one version marked as storage version")
    for name in ("plural", "singular", "kind", "listKind"):
        if not text(spec, "names", name):
            yield required(f"{path}.names.{name}")
    yield from resource_names(mapping(spec, "names"), f"{path}.names")
    yield from _conversion(mapping(spec, "conversion"), f"{path}.conversion")


def validate_update(spec: Json, old: Json, *, established: bool, path: str = "spec") -> list[FieldError]:
    """What may not change any more: names that stored objects are found by."""
    errors = [
        *checks.unchanged(f"{path}.group", text(spec, "group"), text(old, "group")),
        *checks.unchanged(f"{path}.names.plural", text(spec, "names", "plural"), text(old, "names", "plural")),
    ]
    if established:
        errors += checks.unchanged(f"{path}.scope", text(spec, "scope"), text(old, "scope"))
        errors += checks.unchanged(f"{path}.names.kind", text(spec, "names", "kind"), text(old, "names", "kind"))
    return errors


def resource_names(given: Json, path: str) -> Iterator[FieldError]:
    """The names of a resource, of those that are asked for and of those accepted."""
    for name in ("plural", "singular"):
        value = text(given, name)
        yield from checks.named(f"{path}.{name}", value, names.label_1035_error, needed=False)
    for name in ("kind", "listKind"):
        value = text(given, name)
        if value and (problem := names.label_1035_error(value.lower())):
            yield invalid(f"{path}.{name}", value, _MIXED_CASE + problem)
    kind = text(given, "kind")
    for name in ("shortNames", "categories"):
        for index, value in enumerate(strings(given, name)):
            if problem := names.label_1035_error(value):
                yield invalid(f"{path}.{name}[{index}]", value, problem)
    if kind and kind == text(given, "listKind"):
        yield invalid(f"{path}.listKind", kind, "kind and listKind may not be the same")


def _version(version: Json, path: str) -> Iterator[FieldError]:
    name = text(version, "name")
    if problem := names.label_1035_error(name):
        yield invalid(f"{path}.name", name, problem)
    for problem in _deprecation(version):
        yield invalid(f"{path}.deprecationWarning", version.get("deprecationWarning"), problem)
    schema = mapping(version, "schema").get("openAPIV3Schema")
    at = f"{path}.schema.openAPIV3Schema"
    if not isinstance(schema, Mapping):
        yield required(at, "schemas are required")
    else:
        yield from _schema(schema, at, has_status=mapping(version, "subresources").get("status") is not None)
        yield from _selectable(objects(version, "selectableFields"), schema, f"{path}.selectableFields")
    yield from _subresources(mapping(version, "subresources"), f"{path}.subresources")
    for index, column in enumerate(objects(version, "additionalPrinterColumns")):
        yield from _column(column, f"{path}.additionalPrinterColumns[{index}]")


def _deprecation(version: Json) -> Iterator[str]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        yield "can only be set for deprecated versions"
        return
    if len(warning) > _LONGEST_WARNING:
        yield f"must be <= {_LONGEST_WARNING} characters long"
    if not warning:
        yield "must not be an empty string"
    for index, char in enumerate(warning):
        if not char.isprintable():
            yield f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            return


def _schema(schema: Mapping[str, Any], path: str, *, has_status: bool) -> Iterator[FieldError]:
    if has_status:
        yield from _root_with_status(schema, path)
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    found = openapi.problems(schema, path)
    # Each looks only at what those before it let pass.
    found = found or invariants.problems(schema, path)
    found = found or rules.problems(schema, path)
    yield from found or defaults.problems(schema, path)


def _root_with_status(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    if schema.get("type", "object") != "object":
        detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        yield invalid(f"{path}.type", schema["type"], detail)
        return
    if any(value and name not in _AT_ROOT for name, value in schema.items()):
        allowed = " ".join(_AT_ROOT.values())
        detail = f"only [{allowed}] fields are allowed at the root of the schema if the status subresource is enabled"
        yield invalid(path, dict(schema), detail)


def _subresources(given: Json, path: str) -> Iterator[FieldError]:
    if given.get("scale") is None:
        return
    scale = mapping(given, "scale")
    for name, below in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        where, at = text(scale, name), f"{path}.scale.{name}"
        if not where:
            yield required(at)
        elif problem := _path_error(where):
            yield invalid(at, where, problem)
        elif not where.startswith(below):
            yield invalid(at, where, f"should be a json path under {below[:-1]}")
    if where := text(scale, "labelSelectorPath"):
        at = f"{path}.scale.labelSelectorPath"
        if problem := _path_error(where):
            yield invalid(at, where, problem)
        elif not where.startswith((".spec.", ".status.")):
            yield invalid(at, where, "should be a json path under either .spec or .status")


def _column(column: Json, path: str) -> Iterator[FieldError]:
    if not text(column, "name"):
        yield required(f"{path}.name")
    kind, form, where = text(column, "type"), text(column, "format"), text(column, "jsonPath")
    listed = f"must be one of {','.join(COLUMN_TYPES)}"
    if not kind:
        yield required(f"{path}.type", listed)
    elif kind not in COLUMN_TYPES:
        yield invalid(f"{path}.type", kind, listed)
    if form and form not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not where:
        yield required(f"{path}.jsonPath")
    elif problem := _path_error(where):
        yield invalid(f"{path}.jsonPath", where, problem)


def _path_error(where: str) -> str:
    if not where.startswith("."):
        return "must be a simple json path starting with ."
    try:
        jsonpath.parse(where)
    except ValueError as error:
        return f"is an invalid path: {error}"
    return ""


def _selectable(fields: list[Json], schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, where = f"{path}[{index}]", text(field, "jsonPath")
        if not where:
            yield required(f"{at}.jsonPath")
            continue
        node = _node_at(schema, where)
        if isinstance(node, str):
            yield invalid(f"{at}.jsonPath", where, f"is an invalid path: {node}")
            continue
        if where.startswith(".metadata"):
            yield invalid(at, where, "must not point to fields in metadata")
        if node.get("type") not in ("string", "boolean", "integer"):
            detail = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            yield invalid(at, where, detail)
        if where in seen:
            yield duplicate(at, where)
        seen.add(where)
    if len(seen) > _MOST_SELECTABLE:
        yield checks.too_many(path, len(seen), _MOST_SELECTABLE)


def _node_at(schema: Mapping[str, Any], where: str) -> Mapping[str, Any] | str:
    """The node of a schema a path of plain members leads to, or why it leads nowhere."""
    if not where.startswith("."):
        return f"expected [ or . but got: {where}"
    if "[" in where:
        return "array notation is not supported"
    node: Any = schema
    for name in where[1:].split("."):
        node = (node.get("properties") or {}).get(name) if isinstance(node, Mapping) else None
        if node is None:
            return f"does not refer to a valid field: {json.dumps(name)}"
    return node  # type: ignore[no-any-return]


def _conversion(conversion: Json, path: str) -> Iterator[FieldError]:
    if not conversion:
        return
    strategy, webhook = text(conversion, "strategy"), conversion.get("webhook")
    yield from checks.one_of(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        if webhook is not None:
            yield forbidden(f"{path}.webhook", "should not be set when strategy is not set to Webhook")
        return
    config = mapping(conversion, "webhook").get("clientConfig")
    if not isinstance(config, dict):
        yield required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook")
    else:
        yield from clientconfig.validate(config, f"{path}.webhook.clientConfig")
    yield from review_versions(
        strings(conversion, "webhook", "conversionReviewVersions"), f"{path}.webhook.conversionReviewVersions"
    )


def review_versions(versions: list[str], path: str) -> Iterator[FieldError]:
    """The versions of the review that a webhook understands: one that we speak has to be among them."""
    if not versions:
        yield required(path)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
        elif problem := names.label_1035_error(version):
            yield invalid(f"{path}[{index}]", version, problem)
    if not set(versions) & set(REVIEW_VERSIONS):
        yield invalid(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")
