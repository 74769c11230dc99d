"""What arrives is checked against the schema of its kind before anything looks inside it.

Types, unknown fields and nulls are settled here, so that defaulting and validation meet only documents of the right
shape. What is merely missing is complained about after defaulting, which may fill it in.
"""

from __future__ import annotations

from motet.api.options import RequestOptions
from motet.base.errors import FieldError
from motet.kinds.kind import Json, Kind
from motet.kinds.schema import ratchet, table, validate
from motet.kinds.schema.gate import gate


def receive(kind: Kind, document: Json, options: RequestOptions) -> Json:
    """The document with canonical scalars, without nulls and unknown fields; `options.field_validation` says whether
    the latter are refused (Strict), told (Warn) or dropped silently (Ignore).

    Raises BadRequest for wrong types and, when Strict, for unknown fields.
    """
    if not kind.schema:
        return document
    schema = table.get(kind.schema)
    if gate(schema)(document):
        return document
    document = validate.normalize(kind.schema, document)
    if options.field_validation != "Ignore":
        unknown = validate.unknown_fields(kind.schema, document)
        if unknown and options.field_validation == "Strict":
            raise validate.unknown_field_error(kind.schema, document, unknown)
        options.warnings.extend(f'unknown field "{path}"' for path in unknown)
    document = validate.prune(kind.schema, document)
    validate.check(kind.schema, document)
    return document


def complaints(kind: Kind, document: Json, old: Json | None = None) -> list[FieldError]:
    """What the schema says of a defaulted document: required fields and value rules. Raises BadRequest.

    Of a custom resource that is changed, what was wrong before and has not changed is not held against it, so that a
    schema may become stricter than what is stored ("Validation ratcheting").
    """
    if not kind.schema:
        return []
    errors = validate.check(kind.schema, document)
    if old is None or not errors or table.get(kind.schema).typed:
        return errors
    return ratchet.changed(table.get(kind.schema), document, old, errors)
