"""Does a node suit? Node selector terms and tolerations, as the loops that think in nodes need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from motet.base.selectors import Operator, Requirement
from motet.controllers.nodes import Taint

_OPERATORS: dict[str, Operator] = {
    "In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt",
}  # fmt: skip


class Expression(msgspec.Struct, gc=False, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        return Requirement(self.key, _OPERATORS[self.operator], self.values or ()).matches(labels)


class Term(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    match_expressions: tuple[Expression, ...] | None = None
    match_fields: tuple[Expression, ...] | None = None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """All expressions hold; a term without any matches nothing."""
        expressions, fields = self.match_expressions or (), self.match_fields or ()
        if not expressions and not fields:
            return False
        return all(each.matches(labels) for each in expressions) and all(
            each.matches({"metadata.name": name}) for each in fields
        )


class NodeSelector(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_selector_terms: tuple[Term, ...] = ()

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        return any(term.matches(name, labels) for term in self.node_selector_terms)


class Toleration(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


class _NodeAffinity(msgspec.Struct, gc=False, frozen=True):
    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")


class _Affinity(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_affinity: _NodeAffinity | None = None


class Placing(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """The part of a pod specification that says where it may run."""

    node_name: str = ""
    node_selector: dict[str, str] | None = None
    affinity: _Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None

    def required(self) -> NodeSelector | None:
        affinity = self.affinity.node_affinity if self.affinity else None
        return affinity.required if affinity else None

    def selects(self, name: str, labels: Mapping[str, str]) -> bool:
        """The node's name and labels are as asked; its taints are another question."""
        if self.node_name and self.node_name != name:
            return False
        if not (self.node_selector or {}).items() <= labels.items():
            return False
        required = self.required()
        return required is None or required.matches(name, labels)


def untolerated(taints: Iterable[Taint], tolerations: Sequence[Toleration], *effects: str) -> bool:
    """Some taint of one of `effects` is tolerated by nobody."""
    return any(taint.effect in effects and not any(each.tolerates(taint) for each in tolerations) for taint in taints)
