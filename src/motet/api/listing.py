"""Lists: pages, continue tokens and the rules of resourceVersion (Kubernetes API concepts, "Resource versions").

A page holds stored bytes; `chunks` splices them into the body of an answer without decoding any. A list without
`limit` comes from the cache's table; further pages come from the engine's history at the revision of the first.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from motet.api.options import ListOptions
from motet.base.errors import BadRequest, Expired, FieldError, Invalid, forbidden, invalid
from motet.base.selectors import FieldSelector
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.engine import Compacted, FutureRevision, Store
from motet.store.table import Table, selectable

# Answers go out in pieces of about this many bytes.
_CHUNK = 256 * 1024
# How many entries are fetched at a time from the engine when a selector drops some of them.
_FETCH = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Documents in key order, all as of `revision`. `remaining` is None when it is not known (a selector was given)."""

    documents: Sequence[Document]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, Any]:
        """`ListMeta` of the answer."""
        meta: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            meta["continue"] = self.continue_token
            if self.remaining:
                meta["remainingItemCount"] = self.remaining
        return meta

    def chunks(self, kind: Kind) -> Iterator[bytes]:
        """The body `{"kind":"PodList","apiVersion":"v1","metadata":{...},"items":[...]}` in pieces."""
        pieces = [
            b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":['
            % (kind.list_kind.encode(), kind.api_version.encode(), msgspec.json.encode(self.metadata()))
        ]
        size = 0
        comma = b""
        for document in self.documents:
            pieces += (comma, document.raw)
            comma = b","
            size += len(document.raw)
            if size >= _CHUNK:
                yield b"".join(pieces)
                pieces, size = [], 0
        pieces.append(b"]}\n")
        yield b"".join(pieces)


class Token(msgspec.Struct, frozen=True):
    """What a continue token says. `revision` -1 means: at whatever is current, consistent or not."""

    revision: int
    after: str


def write_token(token: Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def read_token(text: str) -> Token:
    """Raises BadRequest for anything this server did not write."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=Token)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise BadRequest("continue key is not valid: it was not given by this server") from error


class ExpiredToken(Expired):
    """410 for a continue token, with one that goes on at the current revision (`metadata.continue`)."""

    def __init__(self, after: str) -> None:
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result. Start a new list, or use "
            "the continue token of this answer to get the rest as it is now, which may miss or repeat what changed meanwhile."
        )
        self._after = after

    def status(self) -> dict[str, Any]:
        document = super().status()
        document["metadata"] = {"continue": write_token(Token(-1, self._after))}
        return document


def check_fields(kind: Kind, fields: FieldSelector) -> None:
    """Refuse field selectors on what the kind does not declare. Raises BadRequest."""
    for term in fields.terms:
        if term.path in kind.field_names or term.path == "metadata.name":
            continue
        if term.path == "metadata.namespace" and kind.namespaced:
            continue
        raise BadRequest(f"field label not supported: {term.path}")


def read_revision(text: str) -> int:
    """A resourceVersion parameter; empty is 0. Raises Invalid."""
    if not text:
        return 0
    if not text.isdigit():
        raise _refuse(invalid("resourceVersion", text, "must be a number given by the server"))
    return int(text)


How = Literal["current", "not-older", "exact", "continue"]


def plan(options: ListOptions) -> tuple[How, int, str]:
    """How to take a list: at which revision, and after which key. Raises BadRequest, Invalid."""
    asked = read_revision(options.resource_version)
    match = options.resource_version_match
    if options.continue_token:
        if match:
            raise _refuse(
                forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if asked:
            raise BadRequest("specifying resource version is not allowed when using continue")
        token = read_token(options.continue_token)
        return "continue", token.revision, token.after
    if match and not options.resource_version:
        raise _refuse(
            forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")
        )
    if match == "Exact":
        if not asked:
            raise _refuse(
                forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
            )
        return "exact", asked, ""
    if match not in ("", "NotOlderThan"):
        raise _refuse(
            FieldError(
                "resourceVersionMatch", "FieldValueNotSupported", match, 'supported values: "Exact", "NotOlderThan"'
            )
        )
    if not asked:
        return "current", 0, ""
    # Without a match, a limited list at a revision has always meant exactly that revision.
    return ("exact" if options.limit and not match else "not-older"), asked, ""


def _refuse(error: FieldError) -> Invalid:
    return Invalid(
        f'ListOptions.meta.k8s.io "" is invalid: {error.message()}',
        details={
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [{"reason": error.type, "message": error.message_without_path(), "field": error.path}],
        },
    )


def from_table(table: Table, kind: Kind, namespace: str, options: ListOptions, revision: int, after: str = "") -> Page:
    """A list, or the first page of one, as of now. `revision` is the one that the table stands at."""
    documents = table.select(namespace, options.labels, options.fields)
    if after:
        # Empty namespace segments sort as text too, so the paths compare like the keys.
        documents = [document for document in documents if str(document.key) > after]
    if not options.limit or len(documents) <= options.limit:
        return Page(documents, revision)
    rest = len(documents) - options.limit
    page = documents[: options.limit]
    token = write_token(Token(revision, str(page[-1].key)))
    return Page(page, revision, token, None if options.labels or options.fields else rest)


async def from_history(
    store: Store, kind: Kind, namespace: str, options: ListOptions, revision: int, after: str
) -> Page:
    """A list as it was at `revision`. Raises Expired."""
    prefix = f"{kind.resource}/{namespace}/" if namespace else f"{kind.resource}/"
    selective = bool(options.labels or options.fields)
    found: list[Document] = []
    try:
        while True:
            fetch = 0 if not options.limit else max(_FETCH, options.limit) if selective else options.limit
            listing = await store.list(prefix, revision=revision, after=after, limit=fetch)
            for entry in listing.entries:
                document = Document.stored(entry.key, entry.value, entry.revision)
                if selective and not selected(document, kind, options):
                    continue
                if options.limit and len(found) == options.limit:
                    return _cut(found, revision, None)
                found.append(document)
            if not listing.more:
                return Page(found, revision)
            after = listing.entries[-1].key
            if not selective:
                return _cut(found, revision, None)
    except Compacted as error:
        if options.continue_token:
            raise ExpiredToken(after) from error
        raise Expired(
            f"The resourceVersion for the provided list is too old: {error.asked} ({error.oldest})"
        ) from error
    except FutureRevision as error:
        raise BadRequest(f"resource version {revision} has not been reached") from error


def _cut(found: Sequence[Document], revision: int, remaining: int | None) -> Page:
    return Page(found, revision, write_token(Token(revision, str(found[-1].key))), remaining)


def selected(document: Document, kind: Kind, options: ListOptions) -> bool:
    """Whether label and field selectors of the list take this document."""
    if options.labels and not options.labels.matches(document.meta.labels):
        return False
    return not options.fields or options.fields.matches(selectable(document, kind.fields))
