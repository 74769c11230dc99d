"""Whether a claim may grow (PersistentVolumeClaimResize): its class has to allow it. That it is bound is seen to by validation."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from motet.api.admission import STORAGE_CLASSES, Plugin, Request, refusal
from motet.base import quantity
from motet.kinds.kind import Json
from motet.kinds.persistentvolume import storage_class
from motet.kinds.shape import mapping

CLAIMS = "core/persistentvolumeclaims"


class _ClassView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    allow_volume_expansion: bool | None = None


def claim_resize(request: Request) -> None:
    """Raises Forbidden for a claim that asks for more than it may."""
    old, new = request.old or {}, request.new or {}
    if _asked(new) <= _asked(old):
        return
    found = request.lookup(STORAGE_CLASSES).get(storage_class(old))
    if found is None or not found.view(_ClassView).allow_volume_expansion:
        why = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
            "resize"
        )
        raise refusal(request, why)


def _asked(claim: Json) -> Fraction:
    try:
        return quantity.parse(mapping(claim, "spec", "resources", "requests").get("storage", 0))
    except (ValueError, TypeError):
        return Fraction(0)  # for validation to complain about


CLAIM_RESIZE = (Plugin("PersistentVolumeClaimResize", claim_resize, resources=(CLAIMS,), verbs=("UPDATE",)),)
