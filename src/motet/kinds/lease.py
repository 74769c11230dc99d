"""Leases: who leads, and which node is alive."""

from __future__ import annotations

from motet.base.errors import FieldError, forbidden, invalid
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = checks.not_negative(spec, "spec", "leaseTransitions")
    seconds = spec.get("leaseDurationSeconds")
    if isinstance(seconds, int) and seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if spec.get("preferredHolder") and not spec.get("strategy"):
        errors.append(forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return errors


KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    singular="lease",
    schema="io.k8s.api.coordination.v1.Lease",
    validate=validate,
    columns=(NAME, column("Holder", text_at("spec", "holderIdentity"), about="Who holds it."), AGE),
    create_on_update=True,
)
