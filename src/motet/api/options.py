"""What a request asks beyond its document: the query parameters and bodies of `meta/v1` options, already parsed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from motet.base.selectors import EVERYTHING, FieldSelector, Selector

FieldValidation = Literal["Strict", "Warn", "Ignore"]
ALL_FIELDS = FieldSelector()


class PatchType(StrEnum):
    """The media type of a PATCH body (RFC 6902, RFC 7386, Kubernetes' strategic merge and server-side apply)."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Of create, update and patch. `warnings` collects sentences for `Warning:` headers, `annotations` what is to be
    noted about the request in the audit log.
    """

    dry_run: bool = False
    field_manager: str = ""
    field_validation: FieldValidation = "Warn"
    # Server-side apply only: take over fields that another manager owns.
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


class _Nobody(list[str]):
    """Warnings that nobody reads."""

    def append(self, item: str) -> None:
        pass

    def extend(self, items: Iterable[str]) -> None:
        pass


NOBODY = _Nobody()
# What in-process callers use: they write what they mean.
QUIET = RequestOptions(field_validation="Ignore", warnings=NOBODY)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`meta/v1 DeleteOptions`. `propagation` is Background, Foreground, Orphan or empty for the kind's own."""

    grace_seconds: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """`meta/v1 ListOptions` of a list or deletecollection. `limit` 0 is unlimited."""

    labels: Selector = EVERYTHING
    fields: FieldSelector = ALL_FIELDS
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    # "", "Exact" or "NotOlderThan"
    resource_version_match: str = ""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """`meta/v1 ListOptions` of a watch. `send_initial_events` None leaves it to `resource_version`."""

    labels: Selector = EVERYTHING
    fields: FieldSelector = ALL_FIELDS
    resource_version: str = ""
    resource_version_match: str = ""
    send_initial_events: bool | None = None


# Of callers that ask for nothing; nobody reads what they are warned of.
ASKING_NOTHING = RequestOptions(warnings=NOBODY)
