"""Which zone each endpoint serves, by the processors of the zones."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.builders import document
from tests.scheduler.builders import node as a_node

from motet.controllers import topology
from motet.store.document import Document


def shares(**zones: int) -> dict[str, Fraction]:
    return {zone: Fraction(cpu) for zone, cpu in zones.items()}


def endpoints(**zones: int) -> dict[str, str]:
    return {f"{zone}{number}": zone for zone, count in zones.items() for number in range(count)}


def node(name: str, zone: str = "a", *, ready: bool = True, cpu: str = "4", **labels: str) -> Document:
    body: dict[str, Any] = a_node(name, cpu=cpu, labels={**({topology.ZONE: zone} if zone else {}), **labels})
    body["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
    return document("core/nodes", body)


def test_endpoints_serve_their_own_zone_where_they_are_spread_like_the_processors() -> None:
    found = endpoints(a=2, b=2)
    assert topology.allot(found, shares(a=8, b=8), {}) == found


def test_a_zone_with_too_few_is_lent_some() -> None:
    made = topology.allot(endpoints(a=5, b=1), shares(a=8, b=8), {})
    assert Counter(made.values()) == {"a": 3, "b": 3}
    assert made["b0"] == "b"


def test_what_was_lent_stays_lent() -> None:
    first = topology.allot(endpoints(a=5, b=1), shares(a=8, b=8), {})
    again = topology.allot(endpoints(a=6, b=1), shares(a=8, b=8), first)
    assert {uid: zone for uid, zone in again.items() if uid in first} == first


def test_nothing_is_said_where_it_cannot_be_even() -> None:
    assert topology.allot(endpoints(a=3), shares(a=8), {}) == {}
    assert topology.allot(endpoints(a=1), shares(a=8, b=8), {}) == {}
    assert topology.allot({**endpoints(a=3), "x": ""}, shares(a=8, b=8), {}) == {}
    assert topology.allot(endpoints(a=2, b=1), shares(a=8, b=8, c=1), {}) == {}


def test_nodes_that_count_are_ready_and_no_control_plane() -> None:
    nodes = [
        node("n1"),
        node("n2", "b", cpu="2"),
        node("n3", "b", cpu="2500m"),
        node("n4", ready=False),
        node("n5", "c", **{"node-role.kubernetes.io/control-plane": ""}),
    ]
    assert topology.shares(nodes) == {"a": 4, "b": Fraction(9, 2)}
    assert topology.shares([*nodes, node("n6", "")]) == {}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 64), min_size=2),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 12), min_size=1),
    st.integers(0, 5),
)
def test_law_no_zone_is_overloaded_by_more_than_a_fifth(cpu: dict[str, int], count: dict[str, int], turns: int) -> None:
    found, by_cpu = endpoints(**count), shares(**cpu)
    made = topology.allot(found, by_cpu, dict.fromkeys(found, "abcd"[turns % 4]))
    if not made:
        return
    assert made.keys() == found.keys()
    served = Counter(made.values())
    assert set(served) <= set(cpu)
    for zone, share in by_cpu.items():
        even = share / sum(by_cpu.values()) * len(found)
        assert even / served[zone] <= Fraction(6, 5)
    assert topology.allot(found, by_cpu, made) == made
