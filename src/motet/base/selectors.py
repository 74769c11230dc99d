"""Label and field selectors (Kubernetes "Labels and Selectors").

Both come as query text (`app in (a,b),tier!=db`) and, for labels, as a `LabelSelector` document
(`matchLabels`, `matchExpressions`). Both become one immutable value that answers `matches(...)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from motet.base import names

Operator = Literal["=", "!=", "in", "notin", "exists", "!", "gt", "lt"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one key."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "gt" | "lt":
                return _compare(value, self.operator, self.values[0])

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "=" | "!=":
                return f"{self.key}{self.operator}{self.values[0]}"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key} {self.operator} ({','.join(self.values)})"


def _compare(value: str | None, operator: Literal["gt", "lt"], bound: str) -> bool:
    try:
        return value is not None and (int(value) > int(bound) if operator == "gt" else int(value) < int(bound))
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; none at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        labels = labels or {}
        return all(requirement.matches(labels) for requirement in self.requirements)

    def equalities(self) -> Iterable[tuple[str, str]]:
        """Key-value pairs that every match must carry: what an index can answer."""
        for requirement in self.requirements:
            if requirement.operator in ("=", "in") and len(requirement.values) == 1:
                yield requirement.key, requirement.values[0]

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()


@dataclass(frozen=True, slots=True)
class Nothing(Selector):
    """Matches no object: what a missing `LabelSelector` means where upstream says "null selects nothing"."""

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return False

    def __bool__(self) -> bool:
        return True


NOTHING = Nothing()


def from_document(selector: Mapping[str, Any] | None) -> Selector:
    """Read a `LabelSelector` document; `None` selects nothing, an empty one everything. Raises ValueError."""
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(key, "=", (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        operators: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
        operator = operators.get(expression["operator"])
        if operator is None:
            raise ValueError(f"{expression['operator']!r} is not a valid label selector operator")
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return Selector(tuple(requirements))


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """A plain map of labels, as a Service's or ReplicationController's selector; `None` or empty selects nothing."""
    if not labels:
        return NOTHING
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


_SET = re.compile(r"(?P<key>[^\s!=<>(),]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s!=<>(),]+)\s*(?P<operator>==|=|!=|>|<)\s*(?P<value>[^\s,=!<>()]*)")
_EXISTS = re.compile(r"(?P<not>!?)\s*(?P<key>[^\s!=<>(),]+)")


def parse(text: str) -> Selector:
    """Read query text such as `app=web,tier in (a,b),!canary`. Raises ValueError saying where it went wrong."""
    requirements: list[Requirement] = []
    rest = text.strip()
    while rest:
        requirement, rest = _take(rest, text)
        requirements.append(requirement)
        rest = rest.lstrip()
        if rest.startswith(","):
            rest = rest[1:].lstrip()
            if not rest:
                raise ValueError(f"unable to parse requirement: found '' after ',' in {text!r}")
        elif rest:
            raise ValueError(f"unable to parse requirement: found {rest!r}, expected: ',' or end of text in {text!r}")
    return Selector(tuple(requirements))


def _take(rest: str, text: str) -> tuple[Requirement, str]:
    if match := _SET.match(rest):
        values = tuple(value.strip() for value in match["values"].split(","))
        operator: Operator = "in" if match["operator"] == "in" else "notin"
        requirement = Requirement(match["key"], operator, values)
    elif match := _EQUALITY.match(rest):
        spelled: dict[str, Operator] = {"=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt"}
        requirement = Requirement(match["key"], spelled[match["operator"]], (match["value"],))
    elif match := _EXISTS.match(rest):
        requirement = Requirement(match["key"], "!" if match["not"] else "exists")
    else:
        raise ValueError(f"unable to parse requirement: found {rest!r} in {text!r}")
    if problem := names.qualified_name_error(requirement.key):
        raise ValueError(f"key: Invalid value: {requirement.key!r}: {problem}")
    for value in requirement.values:
        if problem := names.label_value_error(value):
            raise ValueError(f"values[0][{requirement.key}]: Invalid value: {value!r}: {problem}")
    return requirement, rest[match.end() :]


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """`path=value` or `path!=value`."""

    path: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Terms over the fields a kind declares as selectable; all must hold."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(term.path, "") == term.value) != term.negated for term in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(f"{term.path}{'!=' if term.negated else '='}{term.value}" for term in self.terms)


def parse_fields(text: str) -> FieldSelector:
    """Read `spec.nodeName=a,status.phase!=Failed`. Raises ValueError. Which paths are allowed is the kind's business."""
    terms: list[FieldTerm] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        for operator in ("!=", "==", "="):
            path, found, value = part.partition(operator)
            if found:
                terms.append(FieldTerm(path.strip(), value.strip(), negated=operator == "!="))
                break
        else:
            raise ValueError(f"invalid selector: {text!r}; can't understand {part!r}")
    return FieldSelector(tuple(terms))
