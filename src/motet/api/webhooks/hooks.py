"""Webhooks as their configurations describe them, read once: what each is about, and how it is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motet.api.webhooks.client import Address
from motet.base import selectors
from motet.base.selectors import Selector
from motet.kinds import mutatingwebhookconfiguration as mutating
from motet.kinds.admissionrules import DEFAULT_TIMEOUT, GROUP, REVIEW_VERSIONS
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, objects, strings, text
from motet.store.document import Document

_NAMESPACES = ("", "namespaces")
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

    def matches(self, kind: Kind, subresource: str, operation: str, namespace: str) -> bool:
        """Whether a request for this face of a resource is meant. `namespace` is empty for what is cluster-wide."""
        return (
            _in(self.versions, kind.version)
            and self.concerns(kind.group, kind.plural, subresource, operation)
            and self._in_scope(kind, namespace)
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
        inside = bool(namespace) and (kind.group, kind.plural) != _NAMESPACES
        return inside == (self.scope == "Namespaced")


def _in(allowed: Sequence[str], value: str) -> bool:
    return value in allowed or "*" in allowed


def _resource(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, sub = pattern.partition("/")
    return resource in ("*", plural) and sub in ("*", subresource)


def exempt(kind: Kind) -> bool:
    """Whether requests about a kind go past all webhooks and policies."""
    return kind.group == GROUP and kind.plural in _EXEMPT


def face(
    faces: Iterable[Kind], rules: Sequence[Rule], exactly: bool, subresource: str, operation: str, where: str
) -> Kind | None:
    """The face of a resource that rules match: the one asked for, which comes first, or else any other."""
    for kind in faces:
        if any(rule.matches(kind, subresource, operation, where) for rule in rules):
            return kind
        if exactly:
            return None
    return None


def selects_namespace(selector: Selector, kind: Kind, labels: dict[str, str] | None, namespace: str) -> bool:
    """Whether a namespace selector takes a request; what is in no namespace is always taken. `labels` are the namespace's."""
    if not selector or (not namespace and (kind.group, kind.plural) != _NAMESPACES):
        return True
    return selector.matches(labels)


def selects_object(selector: Selector, *states: Json | None) -> bool:
    """Whether an object selector takes the new state or the old one."""
    if not selector:
        return True
    return any(selector.matches(mapping(state, "metadata", "labels")) for state in states if state is not None)


@dataclass(frozen=True, slots=True)
class Condition:
    """A named expression."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook."""

    name: str
    configuration: str
    mutating: bool
    address: Address
    rules: tuple[Rule, ...]
    exactly: bool
    namespaces: Selector
    objects: Selector
    conditions: tuple[Condition, ...]
    fails: bool
    seconds: float
    again: bool
    review: str

    @property
    def key(self) -> str:
        return f"{self.configuration}/{self.name}"


def read(document: Document) -> list[Hook]:
    """The webhooks of one configuration, in its order."""
    found = document.decode()
    is_mutating = found.get("kind") == mutating.KIND.kind
    return [_hook(hook, document.name, is_mutating) for hook in objects(found, "webhooks")]


def _hook(hook: Json, configuration: str, is_mutating: bool) -> Hook:
    known = strings(hook, "admissionReviewVersions")
    return Hook(
        name=text(hook, "name"),
        configuration=configuration,
        mutating=is_mutating,
        address=Address.of(mapping(hook, "clientConfig")),
        rules=tuple(Rule.of(rule) for rule in objects(hook, "rules")),
        exactly=hook.get("matchPolicy") == "Exact",
        namespaces=selectors.from_document(mapping(hook, "namespaceSelector")),
        objects=selectors.from_document(mapping(hook, "objectSelector")),
        conditions=tuple(conditions(objects(hook, "matchConditions"))),
        fails=hook.get("failurePolicy") != "Ignore",
        seconds=float(hook.get("timeoutSeconds") or DEFAULT_TIMEOUT),
        again=hook.get("reinvocationPolicy") == "IfNeeded",
        review=next((version for version in known if version in REVIEW_VERSIONS), REVIEW_VERSIONS[0]),
    )


def conditions(given: Iterable[Json]) -> list[Condition]:
    return [Condition(text(each, "name"), text(each, "expression")) for each in given]
