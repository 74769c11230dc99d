"""Check a document against its schema, in upstream's words, and clean it up.

The order of a write is `normalize` (or `drop_nulls`), `unknown_fields` and `prune`, `check`. Each asks the compiled gate
first and walks the document in Python only when the gate says there is something to find. None changes its input; each
returns the very same object when there was nothing to do.

Two classes of complaint, as upstream has them: a value of the wrong JSON type in a built-in kind cannot even be decoded
and is a `BadRequest` (400), raised; everything else is a list of `FieldError` (422). Custom resources, having no Go
types, report wrong types as field errors too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motet.base.errors import BadRequest, FieldError
from motet.kinds.schema import table, tidy, walk
from motet.kinds.schema.gate import gate
from motet.kinds.schema.model import Schema

Json = dict[str, Any]


def check(name: str, document: Json) -> list[FieldError]:
    """Every complaint about required fields, allowed values and value rules; unknown fields are not complained about.

    Raises BadRequest when a value has the wrong JSON type or cannot be read (a quantity, a time, base64).
    """
    schema = table.get(name)
    if gate(schema)(document):
        return []
    findings = walk.find(schema, document)
    if findings.undecodable:
        raise cannot_handle(schema, document, findings.undecodable[0])
    return findings.errors


def unknown_fields(name: str, document: Json) -> list[str]:
    """Paths of the fields the schema does not know (`spec.containers[0].imagee`), document order."""
    schema = table.get(name)
    return [] if gate(schema)(document) else walk.find(schema, document).unknown


def unknown_field_error(name: str, document: Json, unknown: Sequence[str]) -> BadRequest:
    """The refusal of `fieldValidation=Strict`."""
    listed = ", ".join(f'unknown field "{path}"' for path in unknown)
    return cannot_handle(table.get(name), document, f"strict decoding error: {listed}")


def prune(name: str, document: Json) -> Json:
    """The document without the fields its schema does not know."""
    schema = table.get(name)
    pruned: Json = document if gate(schema)(document) else tidy.prune(schema, document)
    return pruned


def drop_nulls(name: str, document: Json) -> Json:
    """The document as if decoded into Go's types and encoded again: an optional null is gone, a required one is the zero
    value of its type, a null among a list's items or a map's values becomes their zero value."""
    schema = table.get(name)
    cleaned: Json = document if gate(schema)(document) else tidy.drop_nulls(schema, document)
    return cleaned


def normalize(name: str, document: Json) -> Json:
    """`drop_nulls`, and quantities and times in the form upstream prints them: `0.5` cores are stored as `500m`."""
    schema = table.get(name)
    if gate(schema)(document):
        return document
    cleaned: Json = tidy.drop_nulls(schema, document)
    if cleaned is not document and gate(schema)(cleaned):
        return cleaned  # Nulls were all there was, as in what Go clients send.
    canonical: Json = tidy.canonical(schema, cleaned)
    return canonical


def cannot_handle(schema: Schema, document: Mapping[str, Any], why: str) -> BadRequest:
    """`Pod in version "v1" cannot be handled as a Pod: ...`, the 400 of a body that does not decode."""
    if schema.kinds and schema.kinds[0].version != "*":
        kind, version = schema.kinds[0].kind, schema.kinds[0].version
    else:
        kind = str(document.get("kind") or schema.name.rpartition(".")[2])
        version = str(document.get("apiVersion") or "v1").rpartition("/")[2]
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
