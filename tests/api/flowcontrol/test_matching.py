"""Which FlowSchema a request belongs to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.api.flowcontrol import sharding
from motet.api.flowcontrol.matching import Asked, Schema, SchemaView, first, ordered
from motet.api.users import User
from motet.kinds import flowcontrol

Json = dict[str, Any]


def schemas(**more: Json) -> list[Schema]:
    specs = {**flowcontrol.MANDATORY_SCHEMAS, **flowcontrol.SUGGESTED_SCHEMAS, **more}
    return ordered(Schema.read(name, name, msgspec.convert({"spec": spec}, SchemaView)) for name, spec in specs.items())


ALL = ("system:authenticated",)
ADMIN = User("admin", ("system:masters", *ALL))
NODE = User("system:node:n1", ("system:nodes", *ALL))
EVE = User("eve", ALL)
ROBOT = User("system:serviceaccount:ci:robot", ("system:serviceaccounts", "system:serviceaccounts:ci", *ALL))
SYSTEM = User("system:serviceaccount:kube-system:dns", ("system:serviceaccounts", *ALL))
LEASE = Asked("update", "coordination.k8s.io", "leases", "kube-system")


@pytest.mark.parametrize(
    ("user", "asked", "name"),
    [
        (ADMIN, Asked("list", "", "pods"), "exempt"),
        (ADMIN, Asked("get", path="/metrics"), "exempt"),
        (EVE, Asked("get", path="/healthz"), "probes"),
        (NODE, Asked("patch", "", "nodes/status"), "system-node-high"),
        (NODE, LEASE, "system-node-high"),
        (NODE, Asked("get", "", "secrets", "default"), "system-nodes"),
        (User("system:kube-scheduler", ALL), LEASE, "system-leader-election"),
        (User("system:kube-scheduler", ALL), Asked("list", "", "pods"), "kube-scheduler"),
        (SYSTEM, Asked("list", "", "pods"), "kube-system-service-accounts"),
        (SYSTEM, LEASE, "system-leader-election"),
        (ROBOT, LEASE, "service-accounts"),
        (ROBOT, Asked("get", path="/version"), "service-accounts"),
        (EVE, Asked("create", "apps", "deployments", "default"), "global-default"),
    ],
)
def test_everybody_belongs_where_upstream_puts_them(user: User, asked: Asked, name: str) -> None:
    found = first(schemas(), user, asked)
    assert found is not None
    assert found.name == name


def own(**rule: Any) -> Json:
    rule = {"verbs": ["list"], "apiGroups": ["apps"], "resources": ["deployments"], "namespaces": ["team"], **rule}
    subject = {"kind": "User", "user": {"name": "eve"}}
    return {
        "priorityLevelConfiguration": {"name": "x"},
        "matchingPrecedence": 50,
        "rules": [{"subjects": [subject], "resourceRules": [rule]}],
    }


@pytest.mark.parametrize(
    ("rule", "asked", "matches"),
    [
        ({}, Asked("list", "apps", "deployments", "team"), True),
        ({}, Asked("get", "apps", "deployments", "team"), False),
        ({}, Asked("list", "apps", "deployments", "other"), False),
        ({}, Asked("list", "apps", "deployments"), False),
        ({"clusterScope": True}, Asked("list", "apps", "deployments"), True),
        ({"namespaces": ["*"]}, Asked("list", "apps", "deployments"), False),
        ({}, Asked("list", "apps", "deployments/scale", "team"), False),
        ({"resources": ["*"]}, Asked("list", "apps", "deployments/scale", "team"), True),
    ],
)
def test_a_rule_covers_what_it_says_and_nothing_else(rule: Json, asked: Asked, matches: bool) -> None:
    found = first(schemas(mine=own(**rule)), EVE, asked)
    assert found is not None
    assert (found.name == "mine") is matches


def test_of_equal_precedence_the_first_by_name_counts() -> None:
    found = first(schemas(b=own(), a=own()), EVE, Asked("list", "apps", "deployments", "team"))
    assert found is not None
    assert found.name == "a"


def test_flows_are_told_apart_by_what_the_schema_says() -> None:
    by_name = {each.name: each for each in schemas()}
    asked = Asked("get", "", "pods", "team")
    assert by_name["global-default"].flow(EVE, asked) == "eve"
    assert by_name["kube-scheduler"].flow(EVE, asked) == "team"
    assert by_name["exempt"].flow(EVE, asked) == ""


@given(st.text(), st.integers(1, 128), st.data())
def test_a_hand_is_so_many_different_queues_and_always_the_same(flow: str, queues: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, min(queues, 8)))
    dealt = sharding.hand(flow, queues, size)
    assert len(set(dealt)) == size
    assert all(0 <= number < queues for number in dealt)
    assert dealt == sharding.hand(flow, queues, size)


def test_hands_differ_and_use_all_queues() -> None:
    hands = {sharding.hand(f"flow {number}", 64, 6) for number in range(2000)}
    assert len(hands) == 2000
    assert {number for hand in hands for number in hand} == set(range(64))
