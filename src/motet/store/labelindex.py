"""Which members carry which label: answers a label selector with set operations instead of a walk over all documents."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from motet.base.selectors import Requirement, Selector

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """Members that satisfy a selector: those in every one of `within` and in none of `without`.

    An empty `within` means any member.
    """

    within: tuple[Set[str], ...] = ()
    without: tuple[Set[str], ...] = ()


class LabelIndex:
    """key -> value -> members."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[str, dict[str, set[str]]] = {}

    def add(self, member: str, labels: Mapping[str, str]) -> None:
        for key, value in labels.items():
            values = self._members.get(key)
            if values is None:
                values = self._members[key] = {}
            members = values.get(value)
            if members is None:
                values[value] = {member}
            else:
                members.add(member)

    def remove(self, member: str, labels: Mapping[str, str]) -> None:
        for key, value in labels.items():
            values = self._members[key]
            members = values[value]
            members.discard(member)
            if not members:
                del values[value]
                if not values:
                    del self._members[key]

    def answer(self, selector: Selector) -> Answer:
        """The sets are the index's own where possible: read, do not keep."""
        within: list[Set[str]] = []
        without: list[Set[str]] = []
        for requirement in selector.requirements:
            if requirement.matches({}):
                without.append(self._failing(requirement))
            else:
                within.append(self._satisfying(requirement))
        # The smallest first: it decides how many members are looked at.
        within.sort(key=len)
        return Answer(tuple(within), tuple(without))

    def _satisfying(self, requirement: Requirement) -> Set[str]:
        values = self._members.get(requirement.key)
        if values is None:
            return _NONE
        if requirement.operator in ("=", "in"):
            found = [values[value] for value in requirement.values if value in values]
        else:
            found = [members for value, members in values.items() if requirement.matches({requirement.key: value})]
        return _union(found)

    def _failing(self, requirement: Requirement) -> Set[str]:
        values = self._members.get(requirement.key)
        if values is None:
            return _NONE
        if requirement.operator in ("!=", "notin"):
            found = [values[value] for value in requirement.values if value in values]
        else:
            found = [members for value, members in values.items() if not requirement.matches({requirement.key: value})]
        return _union(found)


def _union(sets: list[set[str]]) -> Set[str]:
    if not sets:
        return _NONE
    if len(sets) == 1:
        return sets[0]
    return _NONE.union(*sets)
