"""Which form of a document a caller sees: its subresources, and its kind's version."""

from __future__ import annotations

from motet.api import scale
from motet.api.projecting import shown
from motet.base.errors import NotFound
from motet.kinds.kind import Kind
from motet.store.document import Document


def check_subresource(kind: Kind, subresource: str) -> None:
    """Whether the kind has such a view of its documents. Raises NotFound."""
    if not subresource:
        return
    has = {
        "status": kind.status,
        "scale": kind.scale is not None,
        "finalize": "finalize" in kind.subresources,
    }
    if not has.get(subresource, False) and subresource not in kind.aspects:
        raise NotFound(f"the server could not find the requested resource: {kind.plural}/{subresource}")


async def view(kind: Kind, document: Document, subresource: str) -> Document:
    """The stored document as this kind shows it; for `scale` an autoscaling/v1 Scale."""
    found = await shown(kind, document)
    return scale.as_document(kind, found) if subresource == "scale" else found
