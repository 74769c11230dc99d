"""Query parameters as the registry's options (meta/v1 ListOptions, CreateOptions, DeleteOptions ...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from motet.api.options import DeleteOptions, FieldValidation, ListOptions, RequestOptions, WatchOptions
from motet.base import selectors
from motet.base.errors import BadRequest
from motet.base.selectors import EVERYTHING, FieldSelector, FieldTerm, Selector

Query = Mapping[str, str]

_VALIDATIONS: dict[str, FieldValidation] = {"": "Warn", "Strict": "Strict", "Warn": "Warn", "Ignore": "Ignore"}
_PROPAGATIONS = ("", "Background", "Foreground", "Orphan")


def flag(query: Query, name: str) -> bool:
    """`1`, `t` and `true` say yes; a parameter without a value does too. Raises BadRequest."""
    value = query.get(name)
    if value is None or value.lower() in ("0", "f", "false"):
        return False
    if value.lower() in ("", "1", "t", "true"):
        return True
    raise BadRequest(f"invalid value {value!r} of parameter {name}: expected true or false")


def integer(query: Query, name: str) -> int | None:
    """A whole number, or None when absent or empty. Raises BadRequest."""
    value = query.get(name)
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise BadRequest(f"invalid value {value!r} of parameter {name}: expected a whole number") from None


def _labels(query: Query) -> Selector:
    text = query.get("labelSelector")
    if not text:
        return EVERYTHING
    try:
        return selectors.parse(text)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _fields(query: Query) -> FieldSelector:
    text = query.get("fieldSelector")
    if not text:
        return FieldSelector()
    try:
        return selectors.parse_fields(text)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def narrowing(query: Query) -> tuple[FieldSelector, Selector]:
    """What a list or watch selects, by fields and by labels. Raises BadRequest."""
    return _fields(query), _labels(query)


def of_list(query: Query) -> ListOptions:
    """Of list and deletecollection. Raises BadRequest."""
    if not query:
        return ListOptions()
    limit = integer(query, "limit") or 0
    if limit < 0:
        raise BadRequest("limit must not be negative")
    return ListOptions(
        labels=_labels(query),
        fields=_fields(query),
        limit=limit,
        continue_token=query.get("continue", ""),
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
    )


def of_watch(query: Query, name: str = "") -> WatchOptions:
    """Of watch; a watch of one name is a watch of the collection with a field selector. Raises BadRequest."""
    fields = _fields(query)
    if name:
        fields = FieldSelector((*fields.terms, FieldTerm("metadata.name", name)))
    return WatchOptions(
        labels=_labels(query),
        fields=fields,
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        send_initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )


def of_write(query: Query, default_manager: str) -> RequestOptions:
    """Of create, update and patch. Raises BadRequest."""
    validation = _VALIDATIONS.get(query.get("fieldValidation", ""))
    if validation is None:
        raise BadRequest(
            f"fieldValidation: Unsupported value: {query['fieldValidation']!r}: supported values: "
            '"Ignore", "Strict", "Warn"'
        )
    return RequestOptions(
        dry_run=_dry_run(query.get("dryRun")),
        field_manager=query.get("fieldManager") or default_manager,
        field_validation=validation,
        force=flag(query, "force"),
    )


def of_delete(query: Query, body: Mapping[str, Any] | None) -> DeleteOptions:
    """Of delete and deletecollection: from the body when there is one, else from the query. Raises BadRequest."""
    if body is None:
        grace = integer(query, "gracePeriodSeconds")
        return _delete_options(
            grace, query.get("propagationPolicy", ""), _orphan(query.get("orphanDependents")), {}, query.get("dryRun")
        )
    grace = body.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise BadRequest("gracePeriodSeconds: Invalid value: expected a whole number of seconds")
    preconditions = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or []
    if not isinstance(preconditions, Mapping) or not isinstance(dry_run, list):
        raise BadRequest("DeleteOptions: preconditions must be an object and dryRun a list")
    asked = ",".join(str(item) for item in dry_run) or query.get("dryRun")
    orphan: Literal["", "Orphan", "Background"] = ""
    if isinstance(body.get("orphanDependents"), bool):
        orphan = "Orphan" if body["orphanDependents"] else "Background"
    return _delete_options(grace, str(body.get("propagationPolicy") or ""), orphan, preconditions, asked)


def _delete_options(
    grace: int | None, propagation: str, orphan: str, preconditions: Mapping[str, Any], dry_run: str | None
) -> DeleteOptions:
    if grace is not None and grace < 0:
        grace = 1  # a negative grace period means "as fast as possible but gracefully"
    if propagation not in _PROPAGATIONS:
        raise BadRequest(
            f"propagationPolicy: Unsupported value: {propagation!r}: supported values: "
            '"Background", "Foreground", "Orphan"'
        )
    return DeleteOptions(
        grace_seconds=grace,
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
        propagation=propagation or orphan,
        dry_run=_dry_run(dry_run),
    )


def _orphan(value: str | None) -> str:
    if not value:
        return ""
    return "Orphan" if value.lower() in ("1", "t", "true") else "Background"


def _dry_run(value: str | None) -> bool:
    if not value:
        return False
    if value != "All":
        raise BadRequest(f'dryRun: Unsupported value: {value!r}: supported values: "All"')
    return True
