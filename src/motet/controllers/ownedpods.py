"""Which pods concern an owner: those it controls, and in its namespace those that nobody does and its selector matches.

Every loop whose objects own pods by labels watches pods through one of these. It keeps the names of pods without a controller, so
that looking at one owner never means looking at all pods.
"""

from __future__ import annotations

from collections.abc import Callable

from motet.base.selectors import Selector
from motet.controllers.loop import ObjectKey, owner_key
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table


class OwnedPods:
    """The pods of all `owners`, which are of `kind`. `selector(owner)` tells what one of them may adopt."""

    def __init__(self, kind: Kind, owners: Table, pods: Table, selector: Callable[[Document], Selector]) -> None:
        self._owners = owners
        self._pods = pods
        self._selector = selector
        self._owner_key = owner_key(kind.kind)
        # Pods that nobody controls: namespace -> names.
        self._orphans: dict[str, set[str]] = {}

    def concerned(self, old: Document | None, new: Document | None) -> list[ObjectKey]:
        """The owners to look at after a change of a pod. To be given to `Controller.watch`."""
        self._note(old, new)
        keys = list(self._owner_key(old, new))
        if new is not None and new.meta.deletion_timestamp is None and new.meta.controller() is None:
            keys += self._could_adopt(new)
        return keys

    def _note(self, old: Document | None, new: Document | None) -> None:
        if new is not None and new.meta.controller() is None:
            self._orphans.setdefault(new.namespace, set()).add(new.name)
        elif old is None or old.meta.controller() is None:
            gone = new or old
            assert gone is not None
            self._orphans.get(gone.namespace, set()).discard(gone.name)

    def _could_adopt(self, pod: Document) -> list[ObjectKey]:
        labels = pod.meta.labels
        owners = self._owners.select(pod.namespace) if labels else ()
        return [(owner.namespace, owner.name) for owner in owners if self._selector(owner).matches(labels)]

    def of(self, owner: Document) -> list[Document]:
        """The pods `owner` controls, and those it could adopt."""
        found = self._pods.owned_by(owner.meta.uid)
        orphans = self._orphans.get(owner.namespace)
        if not orphans:
            return found
        known = {pod.name for pod in found}
        matching = self._pods.select(owner.namespace, self._selector(owner))
        return found + [pod for pod in matching if pod.name in orphans and pod.name not in known]
