"""Docker's identifiers, made from the kernel's uids and back, so that nothing has to be remembered.

Swarm's objects have 25 characters of base 36: just enough for the 128 bits of a uid. Whoever types one may shorten it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TypeVar

from motet.dialects.docker.errors import DockerError, not_found
from motet.store.document import Document

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 25

T = TypeVar("T")


def of(uid: str) -> str:
    """The identifier of the object with this uid."""
    number = uuid.UUID(uid).int
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def of_document(document: Document) -> str:
    return of(document.meta.uid)


def pick(what: str, asked: str, known: Iterable[tuple[str, str, T]]) -> T:
    """The one of (identifier, name, thing) that is meant: by its whole identifier, its name, or an unambiguous beginning.

    Raises DockerError: 404 when there is none, 400 when there are several.
    """
    everything: Sequence[tuple[str, str, T]] = tuple(known)
    for exact in (
        [thing for identifier, _, thing in everything if identifier == asked],
        [thing for _, name, thing in everything if name == asked],
        [thing for identifier, _, thing in everything if asked and identifier.startswith(asked)],
    ):
        if len(exact) > 1:
            raise DockerError(400, f"{what} {asked} is ambiguous ({len(exact)} matches found)")
        if exact:
            return exact[0]
    raise not_found(what, asked)
