"""From what is allowed to commands, on a model of the kernel's sets."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
from hypothesis import given, settings

from motet.network.config import NetworkConfig
from motet.network.policy.compile import Allowed, Compiled, compile_policies
from motet.network.policy.networks import Ground, Separated, separate
from motet.network.policy.ruleset import Ruleset
from motet.network.policy.views import Pod, PolicyView, policy_of

from .strategies import NAMESPACES, NETWORKS, Json, pods, policies

CONFIG = NetworkConfig(
    node_name="n1", pods=IPv4Network("10.42.0.0/24"), cni_config=Path("/nowhere"), cni_state=Path("/nowhere")
)
_COMMAND = re.compile(r"(add|delete) element ip motet_policy (\w+) \{ (.*) \}")


def of(world: list[Pod], specs: list[tuple[str, Json]]) -> tuple[Compiled, Separated]:
    read = [policy_of(namespace, msgspec.convert({"spec": spec}, PolicyView)) for namespace, spec in specs]
    separated = separate(world, NETWORKS, Ground(CONFIG.all_pods, CONFIG.services))
    return compile_policies(read, world, NAMESPACES), separated


def obey(sets: dict[str, dict[str, str]], commands: str) -> None:
    """What the kernel does, strictly: nothing is deleted that is not there or added that is."""
    for line in commands.splitlines():
        match = _COMMAND.fullmatch(line)
        assert match is not None, line
        verb, name, elements = match.groups()
        for element in elements.split(", "):
            key, _, value = element.partition(" : ")
            if verb == "add":
                assert key not in sets.setdefault(name, {})
                sets[name][key] = value
            else:
                del sets[name][key]


def resolved(sets: dict[str, dict[str, str]], way: str) -> dict[tuple[str, str], set[str]]:
    """Per pod its elements by policies and by Networks, with the class numbers out of the way."""
    return {
        (name, pod): {
            f"{kind} {key.partition(' . ')[2]}"
            for kind in ("peers", "exact", "boxes")
            for key in sets.get(f"{way}_{kind}", {})
            if key.partition(" . ")[0] == number
        }
        for name in (way, f"network_{way}")
        for pod, number in sets.get(name, {}).items()
    }


@settings(deadline=None)
@given(pods(), policies, pods(), policies)
def test_from_any_state_to_any_other_gives_what_a_fresh_start_gives(
    before_pods: list[Pod],
    before: list[tuple[str, Json]],
    after_pods: list[Pod],
    after: list[tuple[str, Json]],
) -> None:
    step, fresh = Ruleset(CONFIG), Ruleset(CONFIG)
    sets: dict[str, dict[str, str]] = {}
    new: dict[str, dict[str, str]] = {}
    obey(sets, step.change(*of(before_pods, before)))
    obey(sets, step.change(*of(after_pods, after)))
    obey(new, fresh.change(*of(after_pods, after)))
    for way in ("ingress", "egress"):
        assert resolved(sets, way) == resolved(new, way)
    for name in ("members", "confined", "itself"):
        assert sets.get(name, {}) == new.get(name, {})
    assert step.change(*of(after_pods, after)) == ""


def test_a_peer_that_comes_is_one_element() -> None:
    rules = Ruleset(CONFIG)
    peers = frozenset(f"10.42.1.{number}" for number in range(1, 100))
    isolated = ("10.42.0.2", "10.42.0.3")
    rules.change(Compiled(ingress=dict.fromkeys(isolated, Allowed(peers))))
    commands = rules.change(Compiled(ingress=dict.fromkeys(isolated, Allowed(peers | {"10.42.2.1"}))))
    assert commands == "add element ip motet_policy ingress_peers { 1 . 10.42.2.1 }"


def test_two_classes_that_swap_their_pods_are_told_apart() -> None:
    rules, sets = Ruleset(CONFIG), {}
    one, two = Allowed(frozenset({"10.42.1.1"})), Allowed(frozenset({"10.42.1.2"}))
    obey(sets, rules.change(Compiled(ingress={"10.42.0.2": one, "10.42.0.3": two})))
    obey(sets, rules.change(Compiled(ingress={"10.42.0.2": two, "10.42.0.3": one})))
    assert resolved(sets, "ingress") == {
        ("ingress", "10.42.0.2"): {"peers 10.42.1.2"},
        ("ingress", "10.42.0.3"): {"peers 10.42.1.1"},
    }
