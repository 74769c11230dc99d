"""What one node knows of the others' pods and of the ways their clients come by."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.network.lab import config

from motet.network.proxy.mesh import ANSWERS_BACK, NodeView, elements

CONFIG = config(Path("/nowhere"))


def node(number: int, answers_back: str = "true") -> NodeView:
    document = {
        "metadata": {"annotations": {ANSWERS_BACK: answers_back}},
        "spec": {"podCIDR": f"10.42.{number}.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{number + 1}"}]},
    }
    return msgspec.convert(document, NodeView)


def test_a_peer_is_known_by_its_hardware_address_and_has_a_zone_of_its_own() -> None:
    assert elements({"n1": node(0), "n3": node(2)}, CONFIG) == {
        "through": {"0a:6d:0a:2a:02:00": "3"},
        "back": {"3": "10.42.2.0"},
        "keeping": {"10.42.2.0/24": ""},
    }


def test_pods_of_a_node_that_does_not_say_so_are_shown_no_clients_but_its_own_are_shown_ours() -> None:
    found = elements({"n2": node(1, "")}, CONFIG)
    assert found["keeping"] == {}
    assert found["back"] == {"2": "10.42.1.0"}


@given(st.sets(st.integers(1, 200), max_size=30), st.integers(1, 200))
def test_a_zone_depends_on_the_peer_alone(others: set[int], number: int) -> None:
    alone = elements({"it": node(number)}, CONFIG)
    among = elements({"it": node(number), **{f"peer{each}": node(each) for each in others - {number}}}, CONFIG)
    assert alone["back"].items() <= among["back"].items()
    assert len(set(among["back"].values())) == len(among["through"]) == len({*others, number})


def test_a_zone_that_the_kernel_cannot_count_is_none() -> None:
    wide = replace(CONFIG, all_pods=IPv4Network("10.0.0.0/8"), pods=IPv4Network("10.0.0.0/28"))
    assert elements({"far": node(1)}, wide) == {"through": {}, "back": {}, "keeping": {}}
