"""Which patch engine answers which media type."""

from __future__ import annotations

from typing import Any

from motet.api.options import PatchType
from motet.api.patch import apply_patch
from motet.kinds.kind import Json, Kind

# The definition that patches of the scale subresource are read by.
_SCALE = "io.k8s.api.autoscaling.v1.Scale"


def patched(kind: Kind, document: Json, patch: Any, patch_type: PatchType, subresource: str) -> Json:
    """`document` (taken over) with the patch applied, in the form it is kept in.

    Raises BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType.
    """
    if kind.projection is None:
        return apply_patch(_SCALE if subresource == "scale" else kind.schema, document, patch, patch_type)
    # The patch means the document as it is shown.
    kind.projection.read(document)
    changed = apply_patch(kind.schema, document, patch, patch_type)
    kind.projection.write(changed)
    return changed
