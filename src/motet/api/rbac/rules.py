"""Rules of roles, taken apart into atoms that can be looked up (Kubernetes "Using RBAC Authorization").

An atom is one thing a rule allows: (verb, group, resource, name) with the wildcards as they are written and an empty name for
"whatever it is called"; or (verb, path). Whether a request is allowed is whether any of the few atoms that would allow it is
there, so a decision looks things up and compares nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product

import msgspec

from motet.api.attributes import Attributes

# (verb, group, resource, name)
Atom = tuple[str, str, str, str]
# (verb, path)
PathAtom = tuple[str, str]

_ANY = "*"


class Rule(msgspec.Struct, gc=False, frozen=True, rename="camel", omit_defaults=True):
    """`rbac/v1 PolicyRule`."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")


class RoleView(msgspec.Struct, gc=False, frozen=True):
    """The rules of a Role or ClusterRole."""

    rules: tuple[Rule, ...] | None = None


def atoms(rules: Iterable[Rule]) -> Iterator[Atom]:
    """What rules allow to do with resources."""
    for rule in rules:
        yield from product(rule.verbs, rule.api_groups, rule.resources, rule.resource_names or ("",))


def path_atoms(rules: Iterable[Rule]) -> Iterator[PathAtom]:
    """Which paths rules open; one that ends in `*` opens all that begin like it."""
    for rule in rules:
        yield from product(rule.verbs, rule.non_resource_urls)


@lru_cache(maxsize=8192)
def _candidates(verb: str, group: str, resource: str, subresource: str) -> tuple[frozenset[Atom], tuple[Atom, ...]]:
    whole = f"{resource}/{subresource}" if subresource else resource
    resources = {whole, _ANY, f"*/{subresource}"} if subresource else {whole, _ANY}
    found = frozenset(product({verb, _ANY}, {group, _ANY}, resources, ("",)))
    return found, tuple(found)


def candidates(asked: Attributes, name: str) -> frozenset[Atom]:
    """The atoms any of which would allow this request about a resource."""
    found, plain = _candidates(asked.verb, asked.group, asked.resource, asked.subresource)
    return found.union([(verb, group, resource, name) for verb, group, resource, _ in plain]) if name else found


def opens(atoms: Iterable[PathAtom], verb: str, path: str) -> bool:
    """Whether any of these atoms opens a path."""
    for allowed, pattern in atoms:
        if allowed in (verb, _ANY) and (
            pattern == path or (pattern.endswith(_ANY) and path.startswith(pattern.rstrip(_ANY)))
        ):
            return True
    return False


def compact(rule: Rule) -> str:
    """A rule in the words upstream's refusals have."""
    parts = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{label}:{quoted(values)}" for label, values in parts if values) + "}"


def quoted(values: Iterable[str]) -> str:
    """`["a" "b"]`, as Go prints a list of strings."""
    return f"[{' '.join(msgspec.json.encode(each).decode() for each in values)}]"
