"""A live indexed collection of the documents of one resource.

The cache keeps one per resource, and a remote client mirrors one over a watch; every loop reads its world from tables.
Indices (labels, owners, declared fields) hold only the members' paths, `NAMESPACE/NAME`; the documents themselves are
kept once. Lists come in key order, which is the order of the paths as
text, so that a page taken here and the next one from an engine's history fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import NamedTuple

from motet.base.selectors import EVERYTHING, FieldSelector, FieldTerm, Nothing, Selector
from motet.store.document import Document, Key
from motet.store.labelindex import LabelIndex
from motet.store.ordering import SortedKeys

Listener = Callable[[Document | None, Document | None], None]
Fields = Callable[[Document], Mapping[str, str]]

ALL_FIELDS = FieldSelector()
_NONE: frozenset[str] = frozenset()
# Looking a set's members up one by one and sorting them beats walking the ordered keys below this share of them.
_WALK_SHARE = 4


def no_fields(document: Document) -> Mapping[str, str]:
    """The fields of a resource that declares none."""
    return {}


def selectable(document: Document, fields: Fields) -> dict[str, str]:
    """Everything a field selector may name: the declared fields, and the two that every object has."""
    return {**fields(document), "metadata.name": document.key.name, "metadata.namespace": document.key.namespace}


class Table:
    """The documents of one resource, by name, label, owner and indexed field. Changed only through `apply`."""

    def __init__(self, resource: str, *, fields: Fields = no_fields, indexed_fields: tuple[str, ...] = ()) -> None:
        self.resource = resource
        self.revision = 0
        self._fields = fields
        self._documents: dict[str, Document] = {}
        self._order = SortedKeys()
        self._labels = LabelIndex()
        self._owned: dict[str, set[str]] = {}
        self._by_field: dict[str, dict[str, set[str]]] = {path: {} for path in indexed_fields}
        self._listeners: dict[object, Listener] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        """All documents in key order, as of now: changes during the iteration do not disturb it."""
        documents = self._documents
        return iter([documents[path] for path in self._order.all()])

    def get(self, name: str, namespace: str = "") -> Document | None:
        return self._documents.get(f"{namespace}/{name}")

    def select(
        self, namespace: str = "", labels: Selector = EVERYTHING, fields: FieldSelector = ALL_FIELDS
    ) -> list[Document]:
        """The documents that match all that is given, in key order. An empty namespace means all of them."""
        plan = self._plan(namespace, labels, fields.terms)
        if plan is None:
            return []
        documents = self._documents
        found = [documents[path] for path in self._candidates(plan)]
        if plan.terms:
            rest = FieldSelector(plan.terms)
            found = [document for document in found if rest.matches(selectable(document, self._fields))]
        return found

    def owned_by(self, uid: str) -> list[Document]:
        """The documents that name `uid` in any owner reference, in key order."""
        members = self._owned.get(uid)
        return self._in_order(members) if members else []

    def by_field(self, path: str, value: str) -> list[Document]:
        """The documents whose indexed field `path` is `value`, in key order. Raises KeyError for a field not indexed."""
        return self._in_order(self._by_field[path].get(value, ()))

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call `callback(old, new)` right after every change, until the returned function is called.

        The callback runs inside the writer: it must not raise and must do no more than note what changed.
        """
        # A token makes every registration distinct, even of the same callback.
        token = object()
        self._listeners = {**self._listeners, token: callback}

        def stop() -> None:
            self._listeners = {kept: each for kept, each in self._listeners.items() if kept is not token}

        return stop

    def apply(self, key: Key, document: Document | None, revision: int) -> None:
        """Put, replace or (with None) drop one document. Dropping one that is not there changes nothing."""
        self.revision = revision
        path = f"{key.namespace}/{key.name}"
        old = self._documents.get(path)
        if document is None:
            if old is None:
                return
            del self._documents[path]
            self._order.remove(path)
        else:
            self._documents[path] = document
            if old is None:
                self._order.add(path)
        self._index(path, old, document)
        for listener in self._listeners.values():
            listener(old, document)

    def advance(self, revision: int) -> None:
        """Note that everything up to `revision` has been applied though nothing of this resource changed."""
        self.revision = max(self.revision, revision)

    def _index(self, path: str, old: Document | None, new: Document | None) -> None:
        labels_before = (old.meta.labels if old else None) or {}
        labels_after = (new.meta.labels if new else None) or {}
        if labels_before != labels_after:
            self._labels.remove(path, labels_before)
            self._labels.add(path, labels_after)
        owners_before = _owners(old)
        owners_after = _owners(new)
        if owners_before != owners_after:
            for uid in owners_before - owners_after:
                _drop(self._owned, uid, path)
            for uid in owners_after - owners_before:
                self._owned.setdefault(uid, set()).add(path)
        if self._by_field:
            fields_before = self._fields(old) if old else {}
            fields_after = self._fields(new) if new else {}
            for field, members in self._by_field.items():
                before = fields_before.get(field, "") if old else None
                after = fields_after.get(field, "") if new else None
                if before == after:
                    continue
                if before is not None:
                    _drop(members, before, path)
                if after is not None:
                    members.setdefault(after, set()).add(path)

    def _plan(self, namespace: str, labels: Selector, terms: Iterable[FieldTerm]) -> _Plan | None:
        """What the indices can answer of a selection and what is left to look at; None when nothing can match."""
        if isinstance(labels, Nothing):
            return None
        answer = self._labels.answer(labels)
        within: list[Set[str]] = list(answer.within)
        without: list[Set[str]] = list(answer.without)
        rest: list[FieldTerm] = []
        name = ""
        for term in terms:
            if term.path == "metadata.namespace" and not term.negated:
                if namespace not in ("", term.value):
                    return None
                namespace = term.value
                if not namespace:
                    rest.append(term)
            elif term.path == "metadata.name" and not term.negated and not name:
                name = term.value
                if not name:
                    return None
            elif term.path in self._by_field:
                members = self._by_field[term.path].get(term.value, _NONE)
                (without if term.negated else within).append(members)
            else:
                rest.append(term)
        within.sort(key=len)
        return _Plan(namespace, name, within, without, tuple(rest))

    def _candidates(self, plan: _Plan) -> Iterable[str]:
        """Paths in order that satisfy all of the plan but its left-over terms."""
        prefix = f"{plan.namespace}/" if plan.namespace else ""
        sets = plan.within
        if plan.name and plan.namespace:
            paths: Iterable[str] = [path for path in (prefix + plan.name,) if path in self._documents]
        elif sets and len(sets[0]) * _WALK_SHARE < len(self._documents):
            smallest, sets = sets[0], sets[1:]
            paths = sorted(path for path in smallest if path.startswith(prefix)) if prefix else sorted(smallest)
        else:
            paths = self._order.under(prefix) if prefix else self._order.all()
        for members in sets:
            paths = [path for path in paths if path in members]
        for members in plan.without:
            paths = [path for path in paths if path not in members]
        if plan.name and not plan.namespace:
            ending = f"/{plan.name}"
            paths = [path for path in paths if path.endswith(ending)]
        return paths

    def _in_order(self, paths: Iterable[str]) -> list[Document]:
        documents = self._documents
        return [documents[path] for path in sorted(paths)]


class _Plan(NamedTuple):
    """A selection taken apart: `within` holds index sets, smallest first; `terms` is what no index answers."""

    namespace: str
    name: str
    within: list[Set[str]]
    without: list[Set[str]]
    terms: tuple[FieldTerm, ...]


def _owners(document: Document | None) -> frozenset[str]:
    references = document.meta.owner_references if document else None
    if not references:
        return _NONE
    return frozenset(reference.uid for reference in references)


def _drop(index: dict[str, set[str]], value: str, path: str) -> None:
    members = index[value]
    members.discard(path)
    if not members:
        del index[value]
