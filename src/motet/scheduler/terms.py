"""What a pod wants of its neighbours: to be near some pods, far from others, or spread evenly with its like.

Parsed once per class of pods (Kubernetes "Inter-pod affinity and anti-affinity", "Pod Topology Spread Constraints").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from motet.base import selectors
from motet.base.selectors import Requirement, Selector
from motet.scheduler.views import Affinity, PodAffinity, PodAffinityTerm, SpreadConstraint

Labels = Mapping[str, str]
# The labels of every namespace, by name.
Namespaces = Mapping[str, Labels]


@dataclass(frozen=True, slots=True)
class Term:
    """Pods with some labels in some namespaces, told apart by the value of the node label `key`.

    `everywhere` selects namespaces by their labels, beside those that are named. `weight` is how much a wish is worth:
    below zero to be far, 0 for what must be.
    """

    key: str
    selector: Selector
    namespaces: frozenset[str]
    everywhere: Selector | None = None
    weight: int = 0

    def about(self, namespace: str, labels: Labels, known: Namespaces) -> bool:
        """Whether a pod is one of those meant."""
        if namespace not in self.namespaces and (
            self.everywhere is None or not self.everywhere.matches(known.get(namespace, {}))
        ):
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Spread:
    """Pods of one namespace that are to be spread over the values of the node label `key`.

    `hard` forbids a skew above `max_skew`, otherwise it is only avoided. With fewer than `min_domains` values the least used one
    counts as empty. Which nodes count as places: those the pod's node affinity allows and whose taints it tolerates, as said.
    """

    key: str
    selector: Selector
    max_skew: int
    hard: bool
    min_domains: int
    honour_affinity: bool
    honour_taints: bool


@dataclass(frozen=True, slots=True)
class Wishes:
    """All of one class of pods."""

    near: tuple[Term, ...] = ()
    far: tuple[Term, ...] = ()
    liked: tuple[Term, ...] = ()
    spread: tuple[Spread, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.near or self.far or self.liked or self.spread)


NONE = Wishes()


def parse(affinity: Affinity, constraints: Iterable[SpreadConstraint], namespace: str, labels: Labels) -> Wishes:
    """The wishes of a pod with these labels in this namespace."""
    near, far = affinity.pod_affinity or PodAffinity(), affinity.pod_anti_affinity or PodAffinity()
    liked = [_term(each.pod_affinity_term, namespace, labels, each.weight) for each in near.preferred or ()]
    liked += [_term(each.pod_affinity_term, namespace, labels, -each.weight) for each in far.preferred or ()]
    return Wishes(
        near=tuple(_term(each, namespace, labels) for each in near.required or ()),
        far=tuple(_term(each, namespace, labels) for each in far.required or ()),
        liked=tuple(liked),
        spread=tuple(_spread(each, labels) for each in constraints),
    )


def _term(term: PodAffinityTerm, namespace: str, labels: Labels, weight: int = 0) -> Term:
    named = frozenset(term.namespaces or ())
    if not named and term.namespace_selector is None:
        named = frozenset((namespace,))
    selector = selectors.from_document(term.label_selector)
    return Term(
        key=term.topology_key,
        selector=_with_keys(selector, labels, term.match_label_keys or (), term.mismatch_label_keys or ()),
        namespaces=named,
        everywhere=None if term.namespace_selector is None else selectors.from_document(term.namespace_selector),
        weight=weight,
    )


def _spread(constraint: SpreadConstraint, labels: Labels) -> Spread:
    selector = selectors.from_document(constraint.label_selector)
    return Spread(
        key=constraint.topology_key,
        selector=_with_keys(selector, labels, constraint.match_label_keys or ()),
        max_skew=constraint.max_skew,
        hard=constraint.when_unsatisfiable == "DoNotSchedule",
        min_domains=constraint.min_domains or 1,
        honour_affinity=constraint.node_affinity_policy == "Honor",
        honour_taints=constraint.node_taints_policy == "Honor",
    )


def _with_keys(selector: Selector, labels: Labels, same: Iterable[str], other: Iterable[str] = ()) -> Selector:
    """The selector narrowed to pods with the same values of some labels, and other values of others."""
    extra = [Requirement(key, "in", (labels[key],)) for key in same if key in labels]
    extra += [Requirement(key, "notin", (labels[key],)) for key in other if key in labels]
    if not extra or isinstance(selector, selectors.Nothing):
        return selector
    return Selector((*selector.requirements, *extra))
