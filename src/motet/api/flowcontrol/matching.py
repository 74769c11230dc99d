"""Which FlowSchema a request belongs to: values in, a match out.

Of the schemas that match, the one with the lowest precedence counts, and of several the first by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from motet.api.users import User
from motet.identity.accounts import user_name
from motet.kinds.flowcontrol import BY_NAMESPACE, BY_USER

_ANY = "*"


class _Named(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""


class Subject(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    kind: str = ""
    user: _Named | None = None
    group: _Named | None = None
    service_account: _Named | None = None


class ResourceRule(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    namespaces: tuple[str, ...] | None = None
    cluster_scope: bool | None = None


class PathRule(msgspec.Struct, gc=False, frozen=True, rename={"paths": "nonResourceURLs"}):
    verbs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class Rules(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    subjects: tuple[Subject, ...] = ()
    resource_rules: tuple[ResourceRule, ...] | None = None
    non_resource_rules: tuple[PathRule, ...] | None = None


class _Method(msgspec.Struct, gc=False, frozen=True):
    type: str = ""


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    matching_precedence: int = 1000
    priority_level_configuration: _Named = _Named()
    distinguisher_method: _Method | None = None
    rules: tuple[Rules, ...] | None = None


class SchemaView(msgspec.Struct, gc=False, frozen=True):
    """What a FlowSchema says."""

    spec: _Spec = _Spec()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is matched by. `resource` has its subresource (`pods/status`); `path` is set for anything else."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """A FlowSchema as it is used."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    rules: tuple[Rules, ...]

    @classmethod
    def read(cls, name: str, uid: str, view: SchemaView) -> Schema:
        spec = view.spec
        return cls(
            name=name,
            uid=uid,
            level=spec.priority_level_configuration.name,
            precedence=spec.matching_precedence,
            distinguisher=spec.distinguisher_method.type if spec.distinguisher_method is not None else "",
            rules=spec.rules or (),
        )

    def flow(self, user: User, asked: Asked) -> str:
        """What tells the flows of this schema apart."""
        match self.distinguisher:
            case method if method == BY_USER:
                return user.name
            case method if method == BY_NAMESPACE:
                return asked.namespace
            case _:
                return ""


def ordered(schemas: Iterable[Schema]) -> list[Schema]:
    """In the order they are tried."""
    return sorted(schemas, key=lambda each: (each.precedence, each.name))


def first(schemas: Iterable[Schema], user: User, asked: Asked) -> Schema | None:
    """The first that matches."""
    return next((schema for schema in schemas if any(_matches(rules, user, asked) for rules in schema.rules)), None)


def _matches(rules: Rules, user: User, asked: Asked) -> bool:
    if not any(_is(subject, user) for subject in rules.subjects):
        return False
    if asked.path:
        return any(_opens(rule, asked) for rule in rules.non_resource_rules or ())
    return any(_covers(rule, asked) for rule in rules.resource_rules or ())


def _is(subject: Subject, user: User) -> bool:
    match subject.kind:
        case "User":
            return subject.user is not None and subject.user.name in (_ANY, user.name)
        case "Group":
            return subject.group is not None and (subject.group.name == _ANY or subject.group.name in user.groups)
        case "ServiceAccount":
            account = subject.service_account
            if account is None:
                return False
            if account.name == _ANY:
                return user.name.startswith(user_name(account.namespace, ""))
            return user.name == user_name(account.namespace, account.name)
        case _:
            return False


def _has(allowed: tuple[str, ...], value: str) -> bool:
    return value in allowed or _ANY in allowed


def _covers(rule: ResourceRule, asked: Asked) -> bool:
    if not (
        _has(rule.verbs, asked.verb) and _has(rule.api_groups, asked.group) and _has(rule.resources, asked.resource)
    ):
        return False
    return _has(rule.namespaces or (), asked.namespace) if asked.namespace else bool(rule.cluster_scope)


def _opens(rule: PathRule, asked: Asked) -> bool:
    return _has(rule.verbs, asked.verb) and any(
        pattern in (_ANY, asked.path) or (pattern.endswith("/*") and asked.path.startswith(pattern[:-1]))
        for pattern in rule.paths
    )
