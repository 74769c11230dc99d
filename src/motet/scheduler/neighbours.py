"""Where a class of pods may go, and would rather go, for the pods that are there already.

For every term that matters a count per topology domain is kept as an array, so that all nodes are judged at once and a
placement changes single numbers. What matters: the class's own terms; terms of pods that are there and mean this class
(anti-affinity works both ways); spread constraints. Kubernetes: "Inter-pod affinity and anti-affinity", "Pod Topology
Spread Constraints".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from motet.scheduler import filters
from motet.scheduler.classes import PodClass
from motet.scheduler.snapshot import Snapshot
from motet.scheduler.terms import Spread, Term

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
SKEWED = "node(s) didn't match pod topology spread constraints"
NOT_NEAR = "node(s) didn't match pod affinity rules"
NOT_FAR = "node(s) didn't match pod anti-affinity rules"
REPELLED = "node(s) didn't satisfy existing pods anti-affinity rules"
# What a pod already there that has to be near such pods is worth in scores, as upstream.
_HARD_AFFINITY_WEIGHT = 1


@dataclass(slots=True)
class Tally:
    """Pods per domain of one label. `at` is each row's domain (-1: it has none); `mine` whether one more counts."""

    at: Rows
    counts: npt.NDArray[np.int64]
    mine: bool

    def here(self) -> npt.NDArray[np.int64]:
        """How many there are in the domain of each row; 0 where there is none."""
        # A domain of -1 reads the last count, which stays 0: there is one more than there are domains.
        return self.counts[self.at]

    def take(self, row: int) -> None:
        """One pod more of the class that asks, on the row of that index."""
        domain = self.at[row]
        if self.mine and domain >= 0:
            self.counts[domain] += 1


@dataclass(slots=True)
class _Evenly:
    """A spread constraint: its tally, and which domains are places at all."""

    rule: Spread
    tally: Tally
    places: Mask

    def skewed(self) -> Mask:
        """Which rows have the label and would be ahead of the least used place by more than allowed."""
        counts = self.tally.counts[:-1][self.places]
        least = 0 if not len(counts) or len(counts) < self.rule.min_domains else int(counts.min())
        return (self.tally.at >= 0) & (self.tally.here() + int(self.tally.mine) - least > self.rule.max_skew)


class Neighbours:
    """For `pod`, over `rows`; indices in and out are positions in `rows`."""

    def __init__(self, snapshot: Snapshot, pod: PodClass, rows: Rows) -> None:
        self._snapshot = snapshot
        self._pod = pod
        self._rows = rows
        wishes = pod.wishes
        together = list(wishes.near)
        self._together = all(self._is_meant(pod, term) for term in together)
        matching = self._all_match(together) if together else {}
        self._near = [self._tally(term.key, matching, mine=self._together) for term in together]
        # The first of pods that want each other has nobody to follow, and may begin anywhere.
        self._first = self._together and not any(tally.counts.any() for tally in self._near)
        self._far = [self._counted(term) for term in wishes.far]
        self._repelled = list(self._repellers())
        self._hard = [self._evenly(rule) for rule in wishes.spread if rule.hard]
        self._soft = [self._evenly(rule) for rule in wishes.spread if not rule.hard]
        self._liked = [(term.weight, self._counted(term)) for term in wishes.liked]
        self._liking = self._liked_by_others()

    def refusals(self) -> Iterator[tuple[str, Mask]]:
        """Reasons in upstream's order, and whom each refuses."""
        for rule in self._hard:
            yield NO_LABEL, rule.tally.at < 0
        for rule in self._hard:
            yield SKEWED, rule.skewed()
        for tally in self._near:
            yield NOT_NEAR, (tally.at < 0) | ((tally.here() == 0) & (not self._first))
        for tally in self._far:
            yield NOT_FAR, tally.here() > 0
        for tally in self._repelled:
            yield REPELLED, tally.here() > 0

    def allowed(self) -> Mask:
        """Which rows may take one more pod."""
        refused = np.zeros(len(self._rows), np.bool_)
        for _, mask in self.refusals():
            refused |= mask
        return ~refused

    @property
    def opinionated(self) -> bool:
        """Whether `scores` tells rows apart at all."""
        return bool(self._liked or self._soft) or self._liking is not None

    def scores(self, among: Mask) -> tuple[Scores, Scores]:
        """How well each row suits what is wished for, and how evenly it spreads: 0 to 1 each among the rows in question."""
        drawn = np.zeros(len(self._rows)) if self._liking is None else self._liking.copy()
        for weight, tally in self._liked:
            drawn += weight * tally.here()
        crowded = np.zeros(len(self._rows))
        for rule in self._soft:
            places = int(rule.places.sum())
            # Few large domains hold more pods each than many small ones; upstream weighs them alike by the logarithm.
            weighed = rule.tally.here() * np.log(places + 2)
            # A node outside every domain is the last resort.
            crowded += np.where(rule.tally.at < 0, weighed.max(initial=0) + 1, weighed)
        return _between(drawn, among), 1 - _between(crowded, among) if self._soft else np.zeros(len(self._rows))

    def take(self, row: int) -> None:
        """A pod of the class was placed there."""
        for tally in (*self._near, *self._far):
            tally.take(row)
        for rule in (*self._hard, *self._soft):
            rule.tally.take(row)
        for _, tally in self._liked:
            tally.take(row)
        if self._together:
            self._first = False

    # Counting

    def _is_meant(self, pod: PodClass, term: Term) -> bool:
        return term.about(pod.namespace, pod.labels, self._snapshot.namespaces)

    def _tally(self, key: str, rows: Mapping[int, int], *, mine: bool) -> Tally:
        domains = self._snapshot.domains(key)
        counts = np.zeros(domains.count + 1, np.int64)
        for row, pods in rows.items():
            if domains.of[row] >= 0:
                counts[domains.of[row]] += pods
        return Tally(domains.of[self._rows], counts, mine)

    def _candidates(self, terms: Iterable[Term]) -> Iterator[tuple[PodClass, Mapping[int, int]]]:
        namespaces: set[str] | None = set()
        for term in terms:
            if term.everywhere is not None:
                namespaces = None
                break
            assert namespaces is not None
            namespaces |= term.namespaces
        return self._snapshot.placed(namespaces)

    def _counted(self, term: Term) -> Tally:
        found = ((other, rows) for other, rows in self._candidates([term]) if self._is_meant(other, term))
        return self._tally(term.key, _summed(rows for _, rows in found), mine=self._is_meant(self._pod, term))

    def _all_match(self, together: list[Term]) -> Mapping[int, int]:
        """Where the pods are that every required term means: upstream counts only those, under each term's label."""
        return _summed(
            rows for other, rows in self._candidates(together) if all(self._is_meant(other, term) for term in together)
        )

    def _repellers(self) -> Iterator[Tally]:
        """Pods that are there and want none of this class in their domain, by label."""
        by_key: dict[str, list[Mapping[int, int]]] = {}
        for other in self._snapshot.wishful:
            for term in other.wishes.far:
                if self._is_meant(self._pod, term):
                    by_key.setdefault(term.key, []).append(self._snapshot.rows_of(other))
        for key, rows in by_key.items():
            yield self._tally(key, _summed(rows), mine=False)

    def _liked_by_others(self) -> Scores | None:
        """What the pods that are there would say of one more of this class, per row; None when nobody has a word."""
        total: Scores | None = None
        for other in self._snapshot.wishful:
            terms = [(term, term.weight) for term in other.wishes.liked]
            terms += [(term, _HARD_AFFINITY_WEIGHT) for term in other.wishes.near]
            for term, weight in terms:
                if self._is_meant(self._pod, term):
                    tally = self._tally(term.key, self._snapshot.rows_of(other), mine=False)
                    total = (0 if total is None else total) + weight * tally.here().astype(np.float64)
        return total

    def _evenly(self, rule: Spread) -> _Evenly:
        pod, snapshot = self._pod, self._snapshot
        eligible = self._eligible(rule)
        rows = _summed(
            {row: pods for row, pods in rows.items() if eligible[row]}
            for other, rows in snapshot.placed((pod.namespace,))
            if not other.leaving and rule.selector.matches(other.labels)
        )
        tally = self._tally(rule.key, rows, mine=rule.selector.matches(pod.labels))
        domains = snapshot.domains(rule.key)
        places = np.zeros(domains.count, np.bool_)
        places[domains.of[eligible & (domains.of >= 0)]] = True
        return _Evenly(rule, tally, places)

    def _eligible(self, rule: Spread) -> Mask:
        """Which of all rows are places that pods of the constraint are spread over."""
        snapshot, pod = self._snapshot, self._pod
        found = np.zeros(len(snapshot.nodes), np.bool_)
        keys = [each.key for each in pod.wishes.spread if each.hard == rule.hard]
        for row, node in snapshot.named():
            if rule.honour_affinity and filters.labels(pod, node):
                continue
            if rule.honour_taints and (filters.taints(pod, node) or filters.cordoned(pod, node)):
                continue
            found[row] = all(key in node.labels for key in keys)
        return found


def concern(snapshot: Snapshot, pod: PodClass) -> bool:
    """Whether anything about neighbours matters for this class: its own wishes, or those of pods that are there."""
    if pod.wishes:
        return True
    return any(
        term.about(pod.namespace, pod.labels, snapshot.namespaces)
        for other in snapshot.wishful
        for term in (*other.wishes.far, *other.wishes.liked, *other.wishes.near)
    )


def _summed(many: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for rows in many:
        for row, pods in rows.items():
            total[row] = total.get(row, 0) + pods
    return total


def _between(values: Scores, among: Mask) -> Scores:
    """0 for the least and 1 for the most among the rows in question; all 0 when they are alike."""
    chosen = values[among]
    if not len(chosen) or (spread := chosen.max() - chosen.min()) == 0:
        return np.zeros(len(values))
    between: Scores = (values - chosen.min()) / spread
    return between
