"""Which requests a webhook or a policy is about: rules by operation and resource, selectors by label. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motet.api import intake, scale
from motet.api.admission import Lookup, Request
from motet.api.options import QUIET
from motet.base import selectors
from motet.base.selectors import Selector
from motet.kinds.admissionrules import GROUP
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, objects, strings, text

NAMESPACES = "core/namespaces"
# Nobody may stand between an administrator and the configuration of admission itself.
_EXEMPT = frozenset(
    f"{prefix}{suffix}"
    for prefix in ("mutating", "validating")
    for suffix in ("webhookconfigurations", "admissionpolicies", "admissionpolicybindings")
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Operations on resources; `*` is any."""

    operations: tuple[str, ...]
    groups: tuple[str, ...]
    versions: tuple[str, ...]
    resources: tuple[str, ...]
    scope: str = "*"
    # Of policies: only objects of these names; empty for all.
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Json) -> Rule:
        return cls(
            tuple(strings(rule, "operations")),
            tuple(strings(rule, "apiGroups")),
            tuple(strings(rule, "apiVersions")),
            tuple(strings(rule, "resources")),
            text(rule, "scope") or "*",
            tuple(strings(rule, "resourceNames")),
        )

    def matches(self, kind: Kind, subresource: str, operation: str, namespace: str, name: str = "") -> bool:
        """Whether a request for this face of a resource is meant. `namespace` is empty for what is cluster-wide."""
        return (
            _in(self.versions, kind.version)
            and self.concerns(kind.group, kind.plural, subresource, operation)
            and self._in_scope(kind, namespace)
            and (not self.names or name in self.names)
        )

    def concerns(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        """Whether some version of the resource can be meant."""
        return (
            _in(self.operations, operation)
            and _in(self.groups, group)
            and any(_resource(each, plural, subresource) for each in self.resources)
        )

    def _in_scope(self, kind: Kind, namespace: str) -> bool:
        if self.scope == "*":
            return True
        inside = bool(namespace) and kind.resource != NAMESPACES
        return inside == (self.scope == "Namespaced")


def _in(allowed: Sequence[str], value: str) -> bool:
    return value in allowed or "*" in allowed


def _resource(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)


def exempt(kind: Kind) -> bool:
    """Whether requests about a kind go past all webhooks."""
    return kind.group == GROUP and kind.plural in _EXEMPT


def is_policy(kind: Kind) -> bool:
    """Whether requests about a kind go past all policies; those may well look at the configurations of webhooks."""
    return exempt(kind) and not kind.plural.endswith("webhookconfigurations")


def faces(catalogue: Catalogue, kind: Kind) -> list[Kind]:
    """How the objects of a resource are shown, the way that was asked for first."""
    return [kind, *(other for other in catalogue if other.resource == kind.resource and other is not kind)]


@dataclass(frozen=True, slots=True)
class Matching:
    """All that says which requests are meant."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...] = ()
    exactly: bool = False
    namespaces: Selector = selectors.EVERYTHING
    objects: Selector = selectors.EVERYTHING

    @classmethod
    def of(cls, found: Json, rules: str) -> Matching:
        """From a document that has its rules in the member `rules`. Raises ValueError."""
        return cls(
            rules=tuple(Rule.of(rule) for rule in objects(found, rules)),
            excluded=tuple(Rule.of(rule) for rule in objects(found, "excludeResourceRules")),
            exactly=found.get("matchPolicy") == "Exact",
            namespaces=selectors.from_document(mapping(found, "namespaceSelector")),
            objects=selectors.from_document(mapping(found, "objectSelector")),
        )

    def concerns(self, kinds: Iterable[Kind], subresource: str, operation: str) -> bool:
        """Whether any request for one of these kinds can be meant."""
        return any(
            rule.concerns(kind.group, kind.plural, subresource, operation) for kind in kinds for rule in self.rules
        )

    def face(self, request: Request, kinds: Sequence[Kind]) -> Kind | None:
        """The face of the resource in which a request is meant: the one asked for, or else any other; None for not at all."""
        if not self._selects_namespace(request) or not self._selects_object(request):
            return None
        candidates = kinds[:1] if self.exactly else kinds
        if any(_matches(self.excluded, kind, request) for kind in candidates):
            return None
        return next((kind for kind in candidates if _matches(self.rules, kind, request)), None)

    def everything_of(self, request: Request, kinds: Sequence[Kind]) -> bool:
        """The same for a matching that may have no rules, which then means all requests that its selectors take."""
        if self.rules or self.excluded:
            return self.face(request, kinds) is not None
        return self._selects_namespace(request) and self._selects_object(request)

    def _selects_namespace(self, request: Request) -> bool:
        inside = request.namespace or request.kind.resource == NAMESPACES
        return not self.namespaces or not inside or self.namespaces.matches(namespace_labels(request))

    def _selects_object(self, request: Request) -> bool:
        if not self.objects:
            return True
        states = [state for state in (request.new, request.old) if state is not None]
        return any(self.objects.matches(mapping(state, "metadata", "labels")) for state in states)


def _matches(rules: Sequence[Rule], kind: Kind, request: Request) -> bool:
    return any(rule.matches(kind, request.subresource, request.verb, request.namespace, request.name) for rule in rules)


def namespace_labels(request: Request) -> dict[str, str] | None:
    """The labels of the namespace a request is in, or is about: as it will be, if it is being written."""
    if request.kind.resource == NAMESPACES:
        if request.new is not None and request.verb in ("CREATE", "UPDATE") and not request.subresource:
            return mapping(request.new, "metadata", "labels")
        return _labels(request.lookup, request.name)
    return _labels(request.lookup, request.namespace)


def _labels(lookup: Lookup, name: str) -> dict[str, str] | None:
    found = lookup(NAMESPACES).get(name) if name else None
    return found.meta.labels if found is not None else None


async def shown(seen: Kind, request: Request, state: Json | None) -> Json | None:
    """A state of the object in the face that somebody wants to see."""
    if state is None:
        return None
    if request.subresource == "scale":
        return scale.show(request.kind, state)
    if seen is request.kind or (request.subresource and state.get("kind") != request.kind.kind):
        return state  # what was posted to a subresource has no other face
    if seen.versions is not None:
        return await seen.versions.take(state)
    if seen.projection is not None:
        copied = {**state}
        seen.projection.read(copied)
        return copied
    return {**state, "apiVersion": seen.api_version}


async def take(seen: Kind, request: Request, changed: Json) -> None:
    """Make an object changed in that face the request's own, in place, as complete and clean as what clients send."""
    target, kind = request.new, request.kind
    assert target is not None
    if request.subresource == "scale":
        scale.written(kind, target, changed)
        return
    if request.subresource and target.get("kind") != kind.kind:
        target.clear()
        target.update(changed)
        return
    if seen is not kind:
        if kind.versions is not None:
            changed = await kind.versions.take(changed)
        elif seen.projection is not None:
            changed = {**changed}
            seen.projection.write(changed)
        else:
            changed = {**changed, "apiVersion": kind.api_version}
    metadata = dict(changed.get("metadata") or {})
    for name in ("name", "namespace"):
        if name in target["metadata"]:
            metadata[name] = target["metadata"][name]
    cleaned = intake.receive(kind, {**changed, "metadata": metadata}, QUIET)
    kind.default(cleaned)
    target.clear()
    target.update(cleaned)
