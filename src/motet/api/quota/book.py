"""The book of all quotas: what is used, followed live, and what has been promised to writes that are under way.

A namespace without a quota costs one look into a dict. In one with quotas every object's share is kept, so that a change takes
away exactly what it brought. Who wants to add something first has it promised: used and promised together never exceed a quota,
however many ask at once. A promise ends when the object shows in its table or its write has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from motet.api.quota import measure
from motet.api.quota.measure import PODS, Scope, Usage
from motet.base import quantity
from motet.base.clock import Clock
from motet.kinds import resourcequota
from motet.store.document import Document
from motet.store.table import Table

# (resource, name)
Object = tuple[str, str]


class _Term(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    scope_name: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class _Selector(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    match_expressions: tuple[_Term, ...] | None = None


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    hard: dict[str, str | int | float] = {}
    scopes: tuple[str, ...] | None = None
    scope_selector: _Selector | None = None


class QuotaView(msgspec.Struct, gc=False, frozen=True):
    """What a quota says."""

    spec: _Spec = _Spec()


@dataclass(slots=True, eq=False)
class Ledger:
    """One quota. `hard`, `used` and `promised` are thousandths by name."""

    name: str
    hard: dict[str, int]
    scopes: tuple[Scope, ...]
    used: dict[str, int]
    promised: dict[str, int] = field(default_factory=dict)
    shares: dict[Object, Usage] = field(default_factory=dict)
    # Pods that stop counting at a time, gone or not.
    leaving: dict[Object, datetime] = field(default_factory=dict)

    def share(self, resource: str, view: Any, now: datetime) -> Usage:
        """What an object uses of this quota."""
        if not measure.matches(self.scopes, resource, view):
            return {}
        return {name: amount for name, amount in measure.measure(resource, view, now).items() if name in self.hard}

    def put(self, key: Object, share: Usage) -> bool:
        """Note an object's share; whether that changed anything."""
        before = self.shares.get(key, {})
        if share == before:
            return False
        for name, amount in before.items():
            self.used[name] -= amount
        for name, amount in share.items():
            self.used[name] += amount
        if share:
            self.shares[key] = share
        else:
            self.shares.pop(key, None)
        return True

    def promise(self, share: Usage, sign: int = 1) -> None:
        for name, amount in share.items():
            self.promised[name] = self.promised.get(name, 0) + sign * amount

    def exceeded(self, share: Usage) -> list[str]:
        """The names of which this would be too much."""
        return sorted(
            name
            for name, amount in share.items()
            if amount > 0 and self.used[name] + self.promised.get(name, 0) + amount > self.hard[name]
        )


class QuotaBook:
    """Follows the tables of everything that a quota counts. `table(resource)` raises KeyError for what is not served."""

    def __init__(self, table: Callable[[str], Table], clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._ledgers: dict[str, dict[str, Ledger]] = {}
        self._promises: dict[tuple[str, Object], list[tuple[Ledger, Usage]]] = {}
        self._followed: dict[str, Callable[[], None]] = {}
        self._listeners: list[Callable[[str, str], None]] = []
        quotas = table(resourcequota.KIND.resource)
        self._unlisten = quotas.listen(self._quota_changed)
        for quota in quotas:
            self._quota_changed(None, quota)

    def close(self) -> None:
        for stop in (self._unlisten, *self._followed.values()):
            stop()
        self._followed.clear()

    def listen(self, callback: Callable[[str, str], None]) -> Callable[[], None]:
        """Call `callback(namespace, quota)` when what a quota counts has changed, until the returned function is called."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def ledgers(self, namespace: str) -> list[Ledger]:
        """All quotas of a namespace, in the order of their names."""
        return [each for _, each in sorted(self._ledgers.get(namespace, {}).items())]

    def ledger(self, namespace: str, name: str) -> Ledger | None:
        """What is used of one quota; pods that no longer count are taken off first."""
        ledger = self._ledgers.get(namespace, {}).get(name)
        if ledger is not None:
            self._take_off(ledger)
        return ledger

    def guards(self, namespace: str, resource: str) -> bool:
        """Whether there is any quota in a namespace; kinds that came later are followed from now on."""
        quotas = self._ledgers.get(namespace)
        if quotas is None:
            return False
        if resource not in self._followed and self._counted_somewhere(resource) and self.follow(resource):
            for where, ledgers in self._ledgers.items():
                for ledger in ledgers.values():
                    for document in self._documents(resource, where):
                        self._note(ledger, resource, document)
        return True

    def _counted_somewhere(self, resource: str) -> bool:
        ledgers = (ledger for quotas in self._ledgers.values() for ledger in quotas.values())
        return any(measure.resource_of(name) == resource for ledger in ledgers for name in ledger.hard)

    def next_leaving(self, ledger: Ledger) -> datetime | None:
        """When the next pod stops counting that is still there."""
        return min(ledger.leaving.values(), default=None)

    def promise(
        self, namespace: str, key: Object, shares: list[tuple[Ledger, Usage]], *, ends_when_seen: bool
    ) -> Callable[[], None]:
        """Set something aside for a write; the returned function ends the promise, and may be called again."""
        for ledger, share in shares:
            ledger.promise(share)
        if ends_when_seen:
            self._promises[namespace, key] = shares

        def end() -> None:
            if ends_when_seen and self._promises.get((namespace, key)) is not shares:
                return
            self._promises.pop((namespace, key), None)
            for ledger, share in shares:
                ledger.promise(share, -1)
            shares.clear()

        return end

    def follow(self, resource: str) -> bool:
        """Begin to follow a table, if it is served; whether that is new."""
        if resource in self._followed:
            return False
        try:
            table = self._table(resource)
        except KeyError:
            return False

        def changed(old: Document | None, new: Document | None) -> None:
            self._object_changed(resource, old, new)

        self._followed[resource] = table.listen(changed)
        return True

    # --- following ----------------------------------------------------------------------------------------------------

    def _quota_changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        quotas = self._ledgers.setdefault(document.namespace, {})
        known = quotas.get(document.name)
        if new is None:
            quotas.pop(document.name, None)
            if not quotas:
                del self._ledgers[document.namespace]
            return
        hard, scopes = _parsed(new.view(QuotaView).spec)
        if known is not None and (known.hard, known.scopes) == (hard, scopes):
            return
        ledger = quotas[document.name] = Ledger(document.name, hard, scopes, dict.fromkeys(hard, 0))
        for resource in sorted({measure.resource_of(name) for name in hard}):
            self.follow(resource)
            for each in self._documents(resource, document.namespace):
                self._note(ledger, resource, each)
        self._tell(document.namespace, document.name)

    def _documents(self, resource: str, namespace: str) -> Iterator[Document]:
        try:
            yield from self._table(resource).select(namespace)
        except KeyError:
            return

    def _object_changed(self, resource: str, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        quotas = self._ledgers.get(document.namespace)
        if quotas is None:
            return
        key = (resource, document.name)
        if old is None and (promised := self._promises.pop((document.namespace, key), None)) is not None:
            for ledger, share in promised:
                ledger.promise(share, -1)
        for name, ledger in quotas.items():
            if new is not None:
                changed = self._note(ledger, resource, new)
            else:
                ledger.leaving.pop(key, None)
                changed = ledger.put(key, {})
            if changed:
                self._tell(document.namespace, name)

    def _note(self, ledger: Ledger, resource: str, document: Document) -> bool:
        view = measure.decoder(resource).decode(document.raw)
        key = (resource, document.name)
        until = measure.charged_until(view) if resource == PODS else None
        waits = until is not None and key not in ledger.leaving
        if until is not None:
            ledger.leaving[key] = until
        return ledger.put(key, ledger.share(resource, view, self._clock.now())) or waits

    def _take_off(self, ledger: Ledger) -> None:
        now = self._clock.now()
        for key in [key for key, until in ledger.leaving.items() if until < now]:
            del ledger.leaving[key]
            kept = {name: amount for name, amount in ledger.shares.get(key, {}).items() if name.startswith("count/")}
            ledger.put(key, kept)

    def _tell(self, namespace: str, name: str) -> None:
        for listener in self._listeners:
            listener(namespace, name)


def _parsed(spec: _Spec) -> tuple[dict[str, int], tuple[Scope, ...]]:
    hard = {name: quantity.millis(amount) for name, amount in spec.hard.items()}
    terms = spec.scope_selector.match_expressions or () if spec.scope_selector is not None else ()
    scopes = [Scope(name) for name in spec.scopes or ()]
    scopes += [Scope(term.scope_name, term.operator, term.values or ()) for term in terms]
    return hard, tuple(scopes)
