"""Which requests are written down, and how much of them: the first rule that fits decides.

Policies are Kubernetes' own files (audit.k8s.io/v1 Policy). What holds secrets is never written down beyond its metadata, whatever
a policy says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec
import yaml

from motet.api.attributes import Attributes
from motet.api.users import NODES, User
from motet.base.errors import MotetError


class Level(IntEnum):
    """How much of a request is written down."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    RESPONSE = 3


_LEVELS = {
    "None": Level.NONE,
    "Metadata": Level.METADATA,
    "Request": Level.REQUEST,
    "RequestResponse": Level.RESPONSE,
}
LEVEL_NAMES = {level: name for name, level in _LEVELS.items()}
STARTED, COMPLETE, PANIC = "ResponseStarted", "ResponseComplete", "Panic"
_STAGES = ("RequestReceived", STARTED, COMPLETE, PANIC)
# (group, resource with subresource): what is in their bodies is in no log.
_SECRET = frozenset({("", "secrets"), ("", "serviceaccounts/token"), ("authentication.k8s.io", "tokenreviews")})
_REMEMBERED = 4096


class BadPolicy(MotetError):
    """The file is no audit policy."""


class _Resources(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """`PolicyRule`. An empty list leaves the point open."""

    level: str
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[_Resources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool | None = None


class _File(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    metadata: dict[str, Any] = {}
    rules: tuple[Rule, ...] = ()
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be written down of one request."""

    level: Level = Level.NONE
    omitted: frozenset[str] = frozenset()
    without_managed_fields: bool = False


_NOTHING = Verdict()


class Policy:
    """Decides for one request at a time, and remembers what it decided."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._known: dict[tuple[Any, ...], Verdict] = {}

    def decide(self, user: User, asked: Attributes) -> Verdict:
        key = (user.name, user.groups, asked.verb, asked.group, asked.resource, asked.subresource, asked.namespace,
               asked.name, asked.path)  # fmt: skip
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._decide(user, asked)
        return found

    def _decide(self, user: User, asked: Attributes) -> Verdict:
        for rule in self._file.rules:
            if _fits(rule, user, asked):
                level = _LEVELS[rule.level]
                if (asked.group, asked.full_resource) in _SECRET or (asked.group, asked.resource) == ("", "secrets"):
                    level = min(level, Level.METADATA)
                bare = rule.omit_managed_fields
                return Verdict(
                    level,
                    frozenset((*rule.omit_stages, *self._file.omit_stages)),
                    self._file.omit_managed_fields if bare is None else bare,
                )
        return _NOTHING


def _fits(rule: Rule, user: User, asked: Attributes) -> bool:
    if rule.users and user.name not in rule.users:
        return False
    if rule.user_groups and not set(rule.user_groups).intersection(user.groups):
        return False
    if rule.verbs and asked.verb not in rule.verbs:
        return False
    if not (rule.resources or rule.namespaces or rule.non_resource_urls):
        return True
    if asked.path:
        return any(_opens(pattern, asked.path) for pattern in rule.non_resource_urls)
    if rule.non_resource_urls or (rule.namespaces and asked.namespace not in rule.namespaces):
        return False
    return not rule.resources or any(_of(each, asked) for each in rule.resources)


def _of(given: _Resources, asked: Attributes) -> bool:
    if given.group != asked.group:
        return False
    if given.resource_names and asked.name not in given.resource_names:
        return False
    names = {asked.full_resource, "*"}
    if asked.subresource:
        names |= {f"*/{asked.subresource}", f"{asked.resource}/*"}
    return not given.resources or bool(names.intersection(given.resources))


def _opens(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def parse(text: str) -> Policy:
    """A policy file's content. Raises BadPolicy naming the field."""
    try:
        file = msgspec.convert(yaml.safe_load(text), _File)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadPolicy(f"the audit policy cannot be read: {error}") from error
    if (file.api_version, file.kind) != ("audit.k8s.io/v1", "Policy"):
        raise BadPolicy(f"the audit policy is a {file.kind} of {file.api_version}, not a Policy of audit.k8s.io/v1")
    for index, rule in enumerate(file.rules):
        _known(f"rules[{index}].level", [rule.level], _LEVELS)
        _known(f"rules[{index}].omitStages", rule.omit_stages, _STAGES)
        if rule.non_resource_urls and (rule.resources or rule.namespaces):
            raise BadPolicy(
                f"the audit policy's rules[{index}].nonResourceURLs go with neither resources nor namespaces"
            )
    _known("omitStages", file.omit_stages, _STAGES)
    return Policy(file)


def _known(path: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    allowed = list(allowed)
    for each in given:
        if each not in allowed:
            raise BadPolicy(f"the audit policy's {path} is {each!r}; it may be one of {', '.join(allowed)}")


def load(path: Path) -> Policy:
    """The policy in a file, or the usual one when there is no such file. Raises BadPolicy, OSError."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return usual()
    try:
        return parse(text)
    except BadPolicy as error:
        raise BadPolicy(f"{path}: {error}") from error


_INSIDE = ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "nodes/proxy", "services/proxy")
_REVIEWS = (_Resources("authorization.k8s.io"), _Resources("authentication.k8s.io", ("selfsubjectreviews",)))


def usual() -> Policy:
    """Every change, every look at a secret and every command in a container; nothing of what nodes do all day long."""
    rules = (
        Rule("None", user_groups=(NODES,)),
        Rule("None", resources=(_Resources("", ("events",)), _Resources("events.k8s.io", ("events",)))),
        Rule("None", resources=(_Resources("coordination.k8s.io", ("leases",)),)),
        Rule("None", resources=_REVIEWS),
        Rule("Metadata", resources=(_Resources("", ("secrets", *_INSIDE)),)),
        Rule("None", verbs=("get", "list", "watch")),
        Rule("Metadata"),
    )
    return Policy(_File("audit.k8s.io/v1", "Policy", rules=rules))
