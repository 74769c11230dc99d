"""Deletion as a decision: grace periods, finalizers, propagation (Kubernetes "Garbage collection", "Finalizers").

`decide` says what one delete request makes of one document; `finished` says whether an update just removed the last
thing a deletion was waiting for. Both are pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from motet.api.options import DeleteOptions
from motet.base.errors import BadRequest
from motet.base.timestamps import format_time, parse_time
from motet.kinds.kind import Json, Kind, not_prepared
from motet.store.document import Document

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_PROPAGATION = {"": None, "Background": None, "Foreground": FOREGROUND, "Orphan": ORPHAN}

NAMESPACES = "core/namespaces"
_OVER = ("Failed", "Succeeded")


class Fate(Enum):
    """What becomes of a document without a new value to write."""

    GONE = "gone"
    UNCHANGED = "unchanged"


GONE: Final = Fate.GONE
UNCHANGED: Final = Fate.UNCHANGED


def check(options: DeleteOptions) -> None:
    """Refuse options that no delete can have. Raises BadRequest."""
    if options.propagation not in _PROPAGATION:
        raise BadRequest(
            f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "{options.propagation}": '
            'supported values: "Background", "Foreground", "Orphan"'
        )


def at_once(kind: Kind, current: Document, options: DeleteOptions) -> bool:
    """Whether the metadata alone shows that nothing holds the object back: no decoding needed."""
    if options.propagation in ("Foreground", "Orphan") or current.meta.finalizers or kind.resource == NAMESPACES:
        return False
    if kind.prepare_delete is not not_prepared:
        return False
    return not kind.graceful or options.grace_seconds == 0


def decide(kind: Kind, document: Json, options: DeleteOptions, now: datetime) -> Json | Fate:
    """The document to write, or that it is gone, or that nothing changes. Takes over `document`."""
    metadata = document["metadata"]
    if not metadata.get("deletionTimestamp"):
        kind.prepare_delete(document, now)
    before = list(metadata.get("finalizers") or ())
    finalizers = _finalizers(before, options.propagation)
    grace = _grace(kind, document, options)
    held = bool(finalizers) or _holds_namespace(kind, document)
    if not grace and not held:
        return GONE
    changed = finalizers != before
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    changed |= _mark(metadata, grace, now)
    if kind.resource == NAMESPACES:
        status = document.setdefault("status", {})
        changed |= status.get("phase") != "Terminating"
        status["phase"] = "Terminating"
    return document if changed else UNCHANGED


def finished(kind: Kind, document: Json) -> bool:
    """Whether a deletion that was begun waits for nothing any more."""
    metadata = document["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not _holds_namespace(kind, document)
    )


def _mark(metadata: Json, grace: int, now: datetime) -> bool:
    """Set or shorten the time of deletion; False when it was as strict already."""
    if metadata.get("deletionTimestamp"):
        before = int(metadata.get("deletionGracePeriodSeconds") or 0)
        if grace >= before:
            return False
        # Only ever earlier: the request counts from when the deletion began.
        begun = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=before)
        metadata["deletionTimestamp"] = format_time(begun + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        return True
    metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1
    return True


def _grace(kind: Kind, document: Json, options: DeleteOptions) -> int:
    """Seconds that somebody is given to end it."""
    if not kind.graceful or not (document.get("spec") or {}).get("nodeName"):
        return 0
    if (document.get("status") or {}).get("phase") in _OVER:
        return 0
    asked = options.grace_seconds
    metadata = document["metadata"]
    if asked is None and metadata.get("deletionTimestamp"):
        return int(metadata.get("deletionGracePeriodSeconds") or 0)
    seconds = kind.grace_period(document) if asked is None else asked
    return 1 if seconds < 0 else seconds


def _finalizers(before: list[str], propagation: str) -> list[str]:
    """The propagation policy, written down for the garbage collector."""
    if not propagation:
        return before
    wanted = _PROPAGATION[propagation]
    kept = [name for name in before if name not in (ORPHAN, FOREGROUND) or name == wanted]
    return kept if wanted is None or wanted in kept else [*kept, wanted]


def _holds_namespace(kind: Kind, document: Json) -> bool:
    return kind.resource == NAMESPACES and bool((document.get("spec") or {}).get("finalizers"))
