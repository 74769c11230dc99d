"""Who has which roles where, and how fast that is found."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.api.attributes import Attributes
from motet.api.rbac.index import RbacIndex
from motet.api.rbac.rules import Rule
from motet.api.users import User
from motet.base.selectors import parse_fields
from motet.kinds.rbac import clusterrole, clusterrolebinding, role, rolebinding
from motet.store.document import Document, Key, encode
from motet.store.table import Table

Json = dict[str, Any]
KINDS = {kind.kind: kind for kind in (clusterrole.KIND, clusterrolebinding.KIND, role.KIND, rolebinding.KIND)}


class Tables:
    """The four tables, written to as the store would."""

    def __init__(self) -> None:
        self.tables = {kind.resource: Table(kind.resource) for kind in KINDS.values()}
        self.index = RbacIndex(self.tables.__getitem__)
        self._revision = 0

    def put(self, kind: str, name: str, where: str = "", **body: Any) -> None:
        self._revision += 1
        key = Key(KINDS[kind].resource, where, name)
        document = {"kind": kind, "metadata": {"name": name, "namespace": where}, **body}
        self.tables[key.resource].apply(key, Document(key, encode(document), self._revision), self._revision)

    def drop(self, kind: str, name: str, where: str = "") -> None:
        self._revision += 1
        self.tables[KINDS[kind].resource].apply(Key(KINDS[kind].resource, where, name), None, self._revision)

    def role(self, name: str, *rules: Json, where: str = "") -> None:
        self.put("Role" if where else "ClusterRole", name, where, rules=list(rules))

    def bind(self, name: str, to: str, *subjects: Json, where: str = "", local: bool = False) -> None:
        ref = {"kind": "Role" if local else "ClusterRole", "name": to}
        self.put("RoleBinding" if where else "ClusterRoleBinding", name, where, roleRef=ref, subjects=list(subjects))

    def may(
        self, user: User, verb: str, resource: str, where: str = "", name: str = "", group: str = "", **more: Any
    ) -> bool:
        plain, _, sub = resource.partition("/")
        return self.index.allows(user, Attributes(verb, group, plain, sub, where, name, **more)) is not None


@pytest.fixture
def tables() -> Tables:
    return Tables()


def rule(verbs: str, resources: str, groups: str = "''", names: str = "") -> Json:
    found = {
        "verbs": verbs.split(),
        "resources": resources.split(),
        "apiGroups": ["" if group == "''" else group for group in groups.split()],
    }
    return {**found, "resourceNames": names.split()} if names else found


def user(name: str) -> Json:
    return {"kind": "User", "name": name}


EVE, ROBOT = User("eve", ("dev",)), User("system:serviceaccount:shop:robot", ("system:serviceaccounts",))


def test_a_role_binding_counts_in_its_namespace_only(tables: Tables) -> None:
    tables.role("reader", rule("get list", "pods"))
    tables.bind("b", "reader", user("eve"), where="shop")
    assert tables.may(EVE, "list", "pods", "shop")
    assert not tables.may(EVE, "list", "pods", "other")
    assert not tables.may(EVE, "list", "pods")
    assert not tables.may(EVE, "delete", "pods", "shop")


def test_a_cluster_role_binding_counts_everywhere(tables: Tables) -> None:
    tables.role("reader", rule("list", "pods nodes"))
    tables.bind("b", "reader", {"kind": "Group", "name": "dev"})
    assert tables.may(EVE, "list", "pods", "shop")
    assert tables.may(EVE, "list", "nodes")
    assert not tables.may(ROBOT, "list", "nodes")


def test_a_service_account_without_a_namespace_is_of_the_bindings_own(tables: Tables) -> None:
    tables.role("local", rule("get", "pods"), where="shop")
    tables.bind("b", "local", {"kind": "ServiceAccount", "name": "robot"}, where="shop", local=True)
    assert tables.may(ROBOT, "get", "pods", "shop")
    grant = tables.index.allows(ROBOT, Attributes("get", resource="pods", namespace="shop"))
    assert grant is not None
    assert grant.reason == 'RBAC: allowed by RoleBinding "b/shop" of Role "local"'


@pytest.mark.parametrize(
    ("given", "asked", "allowed"),
    [
        ("pods", "pods/log", False),
        ("pods/log", "pods", False),
        ("pods/log", "pods/log", True),
        ("*/scale", "deployments/scale", True),
        ("*/scale", "deployments", False),
        ("*", "deployments/scale", True),
    ],
)
def test_subresources_are_resources_of_their_own(tables: Tables, given: str, asked: str, allowed: bool) -> None:
    tables.role("r", rule("get", given))
    tables.bind("b", "r", user("eve"))
    assert tables.may(EVE, "get", asked, "shop", "x") is allowed


def test_a_name_in_a_rule_is_for_that_object_also_when_a_selector_says_it(tables: Tables) -> None:
    tables.role("r", rule("get list", "configmaps", names="mine"))
    tables.bind("b", "r", user("eve"))
    assert tables.may(EVE, "get", "configmaps", "shop", "mine")
    assert not tables.may(EVE, "get", "configmaps", "shop", "other")
    assert not tables.may(EVE, "list", "configmaps", "shop")
    assert tables.may(EVE, "list", "configmaps", "shop", fields=parse_fields("metadata.name=mine"))


def test_paths_may_end_in_a_star(tables: Tables) -> None:
    tables.role("r", {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/debug/*"]})
    tables.bind("b", "r", user("eve"))
    opened = [path for path in ("/healthz", "/healthz/x", "/debug/x/y", "/debug", "/") if _opens(tables, path)]
    assert opened == ["/healthz", "/debug/x/y"]


def _opens(tables: Tables, path: str) -> bool:
    return tables.index.allows(EVE, Attributes("get", path=path)) is not None


def test_a_role_may_come_after_its_binding_change_and_go_again(tables: Tables) -> None:
    tables.bind("b", "late", user("eve"))
    assert not tables.may(EVE, "get", "pods")
    tables.role("late", rule("get", "pods"))
    assert tables.may(EVE, "get", "pods")
    tables.role("late", rule("get", "nodes"))
    assert not tables.may(EVE, "get", "pods")
    assert tables.may(EVE, "get", "nodes")
    tables.drop("ClusterRole", "late")
    assert not tables.may(EVE, "get", "nodes")


def test_nothing_is_left_of_what_is_gone(tables: Tables) -> None:
    tables.role("r", rule("get", "pods"))
    for number in range(20):
        tables.bind(f"b{number}", "r", user("eve"), {"kind": "Group", "name": "dev"}, where=f"n{number % 3}")
    for number in range(20):
        tables.drop("RoleBinding", f"b{number}", f"n{number % 3}")
    tables.drop("ClusterRole", "r")
    assert (tables.index._scopes, tables.index._roles, tables.index._bindings) == ({}, {}, {})


def test_all_rules_of_a_user_are_listed_once(tables: Tables) -> None:
    tables.role("r", rule("get", "pods"))
    tables.bind("a", "r", user("eve"))
    tables.bind("b", "r", {"kind": "Group", "name": "dev"}, where="shop")
    assert [found.resources for found in tables.index.rules_of(EVE, "shop")] == [("pods",)]


words = st.sampled_from(["a", "b", "*"])
resources = st.sampled_from(["x", "y", "x/s", "*/s", "*"])
rules = st.builds(
    lambda verbs, groups, kinds, names: {
        "verbs": verbs,
        "apiGroups": groups,
        "resources": kinds,
        "resourceNames": names,
    },
    st.lists(words, min_size=1, max_size=2),
    st.lists(words, min_size=1, max_size=2),
    st.lists(resources, min_size=1, max_size=2),
    st.lists(st.sampled_from(["n", "m"]), max_size=1),
)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("role"), st.integers(0, 11), st.lists(rules, max_size=2)),
        st.tuples(st.just("bind"), st.integers(0, 25), st.integers(0, 11), st.sampled_from(["", "shop"])),
        st.tuples(st.just("unbind"), st.integers(0, 25), st.sampled_from(["", "shop"])),
        st.tuples(st.just("unrole"), st.integers(0, 11)),
    ),
    max_size=60,
)


def plainly(tables: Tables, asked: Attributes) -> bool:
    """Upstream's rules read aloud: every binding, every rule, one after the other."""
    for table in (tables.tables[clusterrolebinding.KIND.resource], tables.tables[rolebinding.KIND.resource]):
        for binding in table:
            found = tables.tables[clusterrole.KIND.resource].get(binding.decode()["roleRef"]["name"])
            if found is None or binding.namespace not in ("", asked.namespace):
                continue
            if any(_matches(each, asked) for each in found.decode()["rules"]):
                return True
    return False


def _matches(given: Json, asked: Attributes) -> bool:
    return (
        any(each in ("*", asked.verb) for each in given["verbs"])
        and any(each in ("*", asked.group) for each in given["apiGroups"])
        and any(
            each in ("*", asked.full_resource) or (asked.subresource and each == f"*/{asked.subresource}")
            for each in given["resources"]
        )
        and (not given["resourceNames"] or asked.name in given["resourceNames"])
    )


@given(changes)
def test_the_index_agrees_with_a_plain_reading_of_all_rules(steps: list[tuple[Any, ...]]) -> None:
    tables = Tables()
    for step in steps:
        match step:
            case ("role", number, given_rules):
                tables.role(f"r{number}", *given_rules)
            case ("bind", number, to, where):
                tables.bind(f"b{number}", f"r{to}", user("eve"), where=where)
            case ("unbind", number, where):
                tables.drop("RoleBinding" if where else "ClusterRoleBinding", f"b{number}", where)
            case ("unrole", number):
                tables.drop("ClusterRole", f"r{number}")
    for verb in "ab":
        for resource, sub in (("x", ""), ("x", "s"), ("y", "")):
            for where in ("", "shop"):
                for name in ("", "n"):
                    asked = Attributes(verb, "a", resource, sub, where, name)
                    assert (tables.index.allows(EVE, asked) is not None) == plainly(tables, asked), asked


@pytest.mark.parametrize(
    ("have", "want", "covered"),
    [
        (rule("*", "*", "*"), ("*", "*", "*", ""), True),
        (rule("get list", "pods"), ("get", "", "pods", ""), True),
        (rule("get list", "pods"), ("*", "", "pods", ""), False),
        (rule("get", "pods", names="a"), ("get", "", "pods", ""), False),
        (rule("get", "pods", names="a"), ("get", "", "pods", "a"), True),
        (rule("get", "pods"), ("get", "", "pods", "a"), True),
        (rule("get", "*/scale"), ("get", "", "deployments/scale", ""), True),
        (rule("get", "*/scale"), ("get", "", "*", ""), False),
    ],
)
def test_what_a_user_has_covers_what_is_no_more(tables: Tables, have: Json, want: Any, covered: bool) -> None:
    tables.role("r", have)
    tables.bind("b", "r", user("eve"))
    assert tables.index.covers(EVE, "shop", want) is covered


def test_a_decision_among_ten_thousand_bindings_takes_microseconds(tables: Tables) -> None:
    for number in range(100):
        tables.role(f"r{number}", rule("get list watch", f"x{number} pods", "'' apps"))
    for number in range(10_000):
        tables.bind(f"b{number}", f"r{number % 100}", user(f"u{number % 1000}"), user("eve"), where=f"n{number % 500}")
    asked = Attributes("get", resource="pods", namespace="n7", name="web-5b9")
    best = min(_seconds(tables, asked) for _ in range(20))
    assert best < 0.0002  # some 5 µs here; a walk over the bindings takes milliseconds


def _seconds(tables: Tables, asked: Attributes) -> float:
    began = time.perf_counter()
    assert tables.index.allows(EVE, asked) is not None
    return time.perf_counter() - began


def test_rules_look_as_upstream_prints_them() -> None:
    from motet.api.rbac.rules import compact

    shown = compact(Rule(verbs=("get", "list"), api_groups=("",), resources=("pods",)))
    assert shown == '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}'
