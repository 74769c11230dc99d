"""What every kind that makes pods from a template has in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from motet.base import selectors
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.podspec.spec import validate_template
from motet.kinds.shape import mapping


def validate_selected_template(
    spec: Json, path: str, kind: str, restart_policies: Iterable[str] = ("Always",), *, label: str = ""
) -> list[FieldError]:
    """`selector` and `template` of one specification: the selector is there, is not empty and selects the template.

    Complaints call the kind `kind`, or `label` where upstream's spell it differently.
    """
    errors: list[FieldError] = []
    template = mapping(spec, "template")
    selector = spec.get("selector")
    if not isinstance(selector, dict):
        errors.append(required(f"{path}.selector"))
    else:
        problems = checks.label_selector(f"{path}.selector", selector)
        errors += problems
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            errors.append(invalid(f"{path}.selector", selector, f"empty selector is invalid for {kind}"))
        elif not problems:
            labels = mapping(template, "metadata", "labels")
            if not selectors.from_document(selector).matches(labels):
                detail = "`selector` does not match template `labels`"
                errors.append(invalid(f"{path}.template.metadata.labels", labels, detail))
    errors += validate_template(template, f"{path}.template", restart_policies)
    if mapping(template, "spec").get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {label or kind} is not Supported"
        errors.append(forbidden(f"{path}.template.spec.activeDeadlineSeconds", detail))
    return errors


def is_zero(amount: Any) -> bool:
    """A number or percentage that is nothing."""
    return amount == 0 or (isinstance(amount, str) and amount.rstrip("%").strip("0") == "" and amount != "")


def selector_text(document: Json) -> str:
    """`spec.selector` as the scale subresource shows it."""
    return str(selectors.from_document(mapping(document, "spec").get("selector")))
