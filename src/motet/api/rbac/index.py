"""Who has which roles where: an index over roles and bindings that follows their tables.

For each subject and scope (a namespace, or the cluster) it holds the grants that count there. A decision asks the few scopes of
the caller's name and groups, so it does not grow with the number of bindings. A scope with many grants merges their atoms, so it
does not grow with the number of roles of one subject either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from motet.api.attributes import Attributes
from motet.api.rbac import rules
from motet.api.rbac.rules import Atom, PathAtom, RoleView, Rule
from motet.api.users import User
from motet.identity.accounts import user_name
from motet.kinds.rbac import clusterrole, clusterrolebinding, role, rolebinding
from motet.kinds.rbac.bindings import ACCOUNT, GROUP_KIND, USER
from motet.store.document import Document
from motet.store.table import Table

# (is it a group, name)
Subject = tuple[bool, str]
# Of a ClusterRole: ("", name); of a Role: (namespace, name).
RoleKey = tuple[str, str]
# How many grants a scope looks through one by one.
_FEW = 8


class _RoleRef(msgspec.Struct, gc=False, frozen=True):
    kind: str = ""
    name: str = ""


class _Subject(msgspec.Struct, gc=False, frozen=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class BindingView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """The role of a binding and who has it."""

    role_ref: _RoleRef = _RoleRef()
    subjects: tuple[_Subject, ...] | None = None


@dataclass(slots=True, eq=False)
class _Role:
    """A role's rules taken apart. Without rules as long as there is no such role."""

    rules: tuple[Rule, ...] = ()
    atoms: frozenset[Atom] = frozenset()
    paths: frozenset[PathAtom] = frozenset()
    grants: set[Grant] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Grant:
    """One binding: a role, who has it, and where. `reason` is what a decision by it is explained with."""

    key: RoleKey
    role: _Role
    subjects: tuple[Subject, ...]
    namespace: str
    reason: str


class _Scope:
    """What one subject may do in one namespace, or everywhere."""

    __slots__ = ("grants", "merged")

    def __init__(self) -> None:
        self.grants: dict[Grant, None] = {}
        self.merged: dict[Atom, dict[Grant, None]] | None = None

    def add(self, grant: Grant) -> None:
        self.grants[grant] = None
        if self.merged is not None:
            self._merge(grant)
        elif len(self.grants) > _FEW:
            self.merged = {}
            for each in self.grants:
                self._merge(each)

    def remove(self, grant: Grant) -> None:
        del self.grants[grant]
        if self.merged is None:
            return
        for atom in grant.role.atoms:
            self.merged[atom].pop(grant)
            if not self.merged[atom]:
                del self.merged[atom]

    def allowing(self, candidates: frozenset[Atom]) -> Grant | None:
        """A grant that has any of these atoms."""
        if self.merged is not None:
            for atom in candidates:
                if found := self.merged.get(atom):
                    return next(iter(found))
            return None
        return next((grant for grant in self.grants if not candidates.isdisjoint(grant.role.atoms)), None)

    def _merge(self, grant: Grant) -> None:
        assert self.merged is not None
        for atom in grant.role.atoms:
            self.merged.setdefault(atom, {})[grant] = None


class RbacIndex:
    """Follows the four tables. They must be filled; reading never waits."""

    def __init__(self, table: Callable[[str], Table]) -> None:
        self._roles: dict[RoleKey, _Role] = {}
        self._bindings: dict[tuple[str, str], Grant] = {}
        self._scopes: dict[Subject, dict[str, _Scope]] = {}
        self._unlisten: list[Callable[[], None]] = []
        for kind, changed in (
            (clusterrole.KIND, self._role_changed),
            (role.KIND, self._role_changed),
            (clusterrolebinding.KIND, self._binding_changed),
            (rolebinding.KIND, self._binding_changed),
        ):
            source = table(kind.resource)
            self._unlisten.append(source.listen(changed))
            for document in source:
                changed(None, document)

    def close(self) -> None:
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()

    def allows(self, user: User, asked: Attributes) -> Grant | None:
        """The grant that allows a request; None when none does."""
        if asked.path:
            return self._opening(user, asked)
        atoms = rules.candidates(asked, asked.one_name)
        for scope in self._relevant(user, asked.namespace):
            if (grant := scope.allowing(atoms)) is not None:
                return grant
        return None

    def covers(self, user: User, namespace: str, atom: Atom) -> bool:
        """Whether a user may do all that an atom says, wildcards included."""
        verb, group, resource, name = atom
        plain, _, subresource = resource.partition("/")
        asked = Attributes(verb, group, plain, subresource)
        found = rules.candidates(asked, name)
        return any(scope.allowing(found) is not None for scope in self._relevant(user, namespace))

    def covers_path(self, user: User, atom: PathAtom) -> bool:
        """Whether a user may see all that a path atom opens."""
        verb, path = atom
        return any(
            rules.opens(grant.role.paths, verb, path) for scope in self._relevant(user, "") for grant in scope.grants
        )

    def rules_of(self, user: User, namespace: str) -> Iterator[Rule]:
        """Every rule that counts for a user in a namespace, those of the whole cluster included."""
        seen: set[int] = set()
        for scope in self._relevant(user, namespace):
            for grant in scope.grants:
                if id(grant.role) not in seen:
                    seen.add(id(grant.role))
                    yield from grant.role.rules

    def rules_of_role(self, namespace: str, name: str) -> tuple[Rule, ...]:
        """The rules of a Role, or with an empty namespace of a ClusterRole; none when there is no such role."""
        found = self._roles.get((namespace, name))
        return found.rules if found is not None else ()

    def _opening(self, user: User, asked: Attributes) -> Grant | None:
        for scope in self._relevant(user, ""):
            for grant in scope.grants:
                if rules.opens(grant.role.paths, asked.verb, asked.path):
                    return grant
        return None

    def _relevant(self, user: User, namespace: str) -> Iterator[_Scope]:
        for subject in ((False, user.name), *((True, group) for group in user.groups)):
            scopes = self._scopes.get(subject)
            if scopes is None:
                continue
            if (scope := scopes.get("")) is not None:
                yield scope
            if namespace and (scope := scopes.get(namespace)) is not None:
                yield scope

    # Following the tables

    def _role(self, key: RoleKey) -> _Role:
        return self._roles.setdefault(key, _Role())

    def _forget(self, key: RoleKey) -> None:
        """A role without rules that nobody has is the same as none."""
        found = self._roles.get(key)
        if found is not None and not found.rules and not found.grants:
            del self._roles[key]

    def _role_changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        key = (document.namespace, document.name)
        found = self._role(key)
        given = (new.view(RoleView).rules or ()) if new is not None else ()
        if given != found.rules:
            grants = list(found.grants)
            for grant in grants:
                self._place(grant, add=False)
            found.rules = given
            found.atoms, found.paths = frozenset(rules.atoms(given)), frozenset(rules.path_atoms(given))
            for grant in grants:
                self._place(grant, add=True)
        self._forget(key)

    def _binding_changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        key = (document.namespace, document.name)
        if (known := self._bindings.pop(key, None)) is not None:
            self._place(known, add=False)
            known.role.grants.discard(known)
            self._forget(known.key)
        if new is not None:
            self._bindings[key] = grant = self._grant(new)
            grant.role.grants.add(grant)
            self._place(grant, add=True)

    def _grant(self, binding: Document) -> Grant:
        view = binding.view(BindingView)
        where, ref = binding.namespace, view.role_ref
        subjects = tuple(dict.fromkeys(_subjects(view.subjects or (), where)))
        kind = "RoleBinding" if where else "ClusterRoleBinding"
        named = f"{binding.name}/{where}" if where else binding.name
        reason = f'RBAC: allowed by {kind} "{named}" of {ref.kind} "{ref.name}"'
        role = (where if ref.kind == "Role" else "", ref.name)
        return Grant(role, self._role(role), subjects, where, reason)

    def _place(self, grant: Grant, *, add: bool) -> None:
        for subject in grant.subjects:
            scopes = self._scopes.setdefault(subject, {})
            scope = scopes.setdefault(grant.namespace, _Scope())
            if add:
                scope.add(grant)
                continue
            scope.remove(grant)
            if not scope.grants:
                del scopes[grant.namespace]
            if not scopes:
                del self._scopes[subject]


def _subjects(given: Iterable[_Subject], namespace: str) -> Iterator[Subject]:
    for subject in given:
        match subject.kind:
            case kind if kind == USER:
                yield False, subject.name
            case kind if kind == GROUP_KIND:
                yield True, subject.name
            case kind if kind == ACCOUNT and (subject.namespace or namespace):
                yield False, user_name(subject.namespace or namespace, subject.name)
