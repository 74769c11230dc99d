"""Nobody gives away what they do not have (Kubernetes "Privilege escalation prevention and bootstrapping").

Who writes a role needs all that is in it, or the verb `escalate` on it; who binds one needs all that is in it, or the verb `bind`
on it. Administrators need nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from motet.api.admission import Plugin, Request, refusal
from motet.api.attributes import Attributes
from motet.api.rbac.index import RbacIndex
from motet.api.rbac.rules import Rule, atoms, compact, path_atoms, quoted
from motet.api.users import MASTERS, User
from motet.base.errors import not_found
from motet.kinds.kind import Json
from motet.kinds.rbac import GROUP, clusterrole, clusterrolebinding, role, rolebinding

# Whether a user may, as the whole authorizer sees it.
May = Callable[[User, Attributes], bool]
_ALL = (
    Rule(verbs=("*",), api_groups=("*",), resources=("*",)),
    Rule(verbs=("*",), non_resource_urls=("*",)),
)


def plugins(index: RbacIndex, may: May) -> tuple[Plugin, ...]:
    """What keeps writes of roles and bindings from giving more than their author has."""

    def roles(request: Request) -> None:
        _check_role(index, may, request)

    def bindings(request: Request) -> None:
        _check_binding(index, may, request)

    return (
        Plugin("RBAC", roles, resources=(role.KIND.resource, clusterrole.KIND.resource)),
        Plugin("RBAC", bindings, resources=(rolebinding.KIND.resource, clusterrolebinding.KIND.resource)),
    )


def _check_role(index: RbacIndex, may: May, request: Request) -> None:
    new, old = request.new or {}, request.old or {}
    given, before = new.get("rules") or [], old.get("rules") or []
    gathers = new.get("aggregationRule") != old.get("aggregationRule")
    if MASTERS in request.user.groups or (given == before and not gathers):
        return
    if may(request.user, _about(request, "escalate", request.kind.plural, request.name)):
        return
    if gathers and new.get("aggregationRule") and _missing(index, request.user, "", _ALL):
        raise refusal(request, "must have cluster-admin privileges to use an aggregationRule")
    _refuse_more(index, request, _rules(given))


def _check_binding(index: RbacIndex, may: May, request: Request) -> None:
    new, old = request.new or {}, request.old or {}
    if MASTERS in request.user.groups or all(new.get(part) == old.get(part) for part in ("roleRef", "subjects")):
        return
    ref = new.get("roleRef") or {}
    kind = clusterrole.KIND if ref.get("kind") == clusterrole.KIND.kind else role.KIND
    name = str(ref.get("name"))
    if may(request.user, _about(request, "bind", kind.plural, name)):
        return
    where = request.namespace if kind.namespaced else ""
    found = request.lookup(kind.resource).get(name, where)
    if found is None:
        raise not_found(GROUP, kind.plural, name)
    _refuse_more(index, request, index.rules_of_role(where, name))


def _about(request: Request, verb: str, plural: str, name: str) -> Attributes:
    return Attributes(verb, GROUP, plural, namespace=request.namespace, name=name)


def _rules(given: Iterable[Json]) -> tuple[Rule, ...]:
    return msgspec.convert(given, tuple[Rule, ...])


def _refuse_more(index: RbacIndex, request: Request, rules: Iterable[Rule]) -> None:
    missing = _missing(index, request.user, request.namespace, rules)
    if not missing:
        return
    user = request.user
    listed = "\n".join(compact(rule) for rule in missing)
    raise refusal(
        request,
        f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not currently held:'
        f"\n{listed}",
    )


def _missing(index: RbacIndex, user: User, namespace: str, rules: Iterable[Rule]) -> list[Rule]:
    """Those of the rules that a user does not have, each cut down to what is missing."""
    return [lacking for rule in rules if (lacking := _lacking(index, user, namespace, rule)) is not None]


def _lacking(index: RbacIndex, user: User, namespace: str, rule: Rule) -> Rule | None:
    without = [atom for atom in atoms((rule,)) if not index.covers(user, namespace, atom)]
    closed = [atom for atom in path_atoms((rule,)) if not index.covers_path(user, atom)]
    if closed:
        verbs, paths = zip(*closed, strict=True)
        return Rule(verbs=_once(verbs), non_resource_urls=_once(paths))
    if not without:
        return None
    verbs, groups, resources, names = zip(*without, strict=True)
    return Rule(
        verbs=_once(verbs),
        api_groups=_once(groups),
        resources=_once(resources),
        resource_names=() if names == ("",) * len(names) else _once(names),
    )


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
