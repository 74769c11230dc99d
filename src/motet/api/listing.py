"""Lists: pages, continue tokens and the rules of resourceVersion (Kubernetes API concepts, "Resource versions").

A page holds stored bytes; `chunks` splices them into the body of an answer without decoding any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from motet.kinds.kind import Kind
from motet.store.document import Document


@dataclass(frozen=True, slots=True)
class Page:
    """Documents in key order, all as of `revision`. `remaining` is None when it is not known (a selector was given)."""

    documents: Sequence[Document]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, str | int]:
        """`ListMeta` of the answer."""
        meta: dict[str, str | int] = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            meta["continue"] = self.continue_token
            if self.remaining:
                meta["remainingItemCount"] = self.remaining
        return meta

    def chunks(self, kind: Kind) -> Iterator[bytes]: ...
