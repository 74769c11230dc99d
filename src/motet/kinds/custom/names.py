"""Whose names they are: of two definitions in one group that want the same one, whoever came first keeps it.

Follows upstream's naming controller: every name is accepted or refused on its own, and a definition that was refused one
says which in its condition NamesAccepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from motet.kinds.custom.definition import ESTABLISHED, FALSE, NAMES_ACCEPTED, TRUE, Condition, condition
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, strings, text


@dataclass(frozen=True, slots=True)
class Taken:
    """Names in use in a group by others: of resources (plural, singular, short) and of kinds (and their lists)."""

    resources: frozenset[str]
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The names a definition has from now on, and what is said about it."""

    names: Json
    accepted: Condition
    established: Condition


def taken(group: str, others: Iterable[Json], built_in: Iterable[Kind]) -> Taken:
    """What other definitions and the server's own kinds have in a group."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if text(other, "spec", "group") == group:
            names = mapping(other, "status", "acceptedNames")
            resources |= {text(names, "plural"), text(names, "singular"), *strings(names, "shortNames")}
            kinds |= {text(names, "kind"), text(names, "listKind")}
    for kind in built_in:
        if kind.group == group:
            resources |= {kind.plural, kind.singular, *kind.short_names}
            kinds |= {kind.kind, kind.list_kind}
    return Taken(frozenset(resources - {""}), frozenset(kinds - {""}))


def decide(definition: Json, used: Taken) -> Outcome:
    """Accept what can be accepted."""
    wanted = mapping(definition, "spec", "names")
    had = mapping(definition, "status", "acceptedNames")
    names = dict(had)
    refused: tuple[str, str] | None = None
    for name, reason in (("plural", "PluralConflict"), ("singular", "SingularConflict")):
        refused = _accept(names, wanted, had, name, used.resources, reason) or refused
    refused = _accept_short(names, wanted, had, used.resources) or refused
    for name, reason in (("kind", "KindConflict"), ("listKind", "ListKindConflict")):
        refused = _accept(names, wanted, had, name, used.kinds, reason) or refused
    _set(names, "categories", wanted.get("categories"))
    if refused is not None:
        accepted = Condition(NAMES_ACCEPTED, FALSE, *refused)
    else:
        accepted = Condition(NAMES_ACCEPTED, TRUE, "NoConflicts", "no conflicts found")
    return Outcome(names, accepted, _established(definition, refused is None))


def _established(definition: Json, accepted: bool) -> Condition:
    if accepted or condition(definition, ESTABLISHED) == TRUE:
        return Condition(ESTABLISHED, TRUE, "InitialNamesAccepted", "the initial names have been accepted")
    return Condition(ESTABLISHED, FALSE, "NotAccepted", "not all names are accepted")


def _accept(
    names: Json, wanted: Json, had: Json, name: str, used: frozenset[str], reason: str
) -> tuple[str, str] | None:
    value = text(wanted, name)
    if value != text(had, name) and value in used:
        return reason, f'"{value}" is already in use'
    _set(names, name, value)
    return None


def _accept_short(names: Json, wanted: Json, had: Json, used: frozenset[str]) -> tuple[str, str] | None:
    value, own = strings(wanted, "shortNames"), strings(had, "shortNames")
    problems = [f'"{short}" is already in use' for short in value if short not in own and short in used]
    if problems:
        listed = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        return "ShortNamesConflict", listed
    _set(names, "shortNames", value)
    return None


def _set(names: Json, name: str, value: object) -> None:
    if value:
        names[name] = value
    else:
        names.pop(name, None)
