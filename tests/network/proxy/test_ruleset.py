"""Programming rules step by step comes to the same as programming them at once."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.network.lab import config

from motet.network.proxy.desired import Backends, Frontend
from motet.network.proxy.ruleset import Ruleset, base

CONFIG = config(Path("/nowhere"))
_COMMAND = re.compile(r"(add|delete) element ip motet (\w+) \{ (.*) \}")


class Kernel:
    """Maps and chains as nftables would have them, as strict as it is."""

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, str]] = {}
        self.chains: set[str] = set()

    def run(self, commands: str) -> None:
        for command in filter(None, commands.split("\n")):
            if found := _COMMAND.fullmatch(command):
                self._elements(*found.groups())
            elif command.startswith("add chain"):
                self.chains.add(command.split()[-1])
            else:
                assert command.startswith(("add rule", "add set"))

    def _elements(self, verb: str, name: str, listed: str) -> None:
        held = self.maps.setdefault(name, {})
        for each in listed.split(", "):
            key, _, value = each.partition(" : ")
            if verb == "delete":
                del held[key]
            else:
                assert key not in held
                held[key] = value

    def leads_to(self) -> dict[str, tuple[object, ...]]:
        """Every key of a first look-up, and what a connection would meet there: numbers are nobody's business."""
        found: dict[str, tuple[object, ...]] = {}
        numbers = []
        for name in ("virtual", "local", "virtual_inside", "local_inside", "virtual_every"):
            for key, number in self.maps.get(name, {}).items():
                numbers.append(number)
                found[f"{name} {key}"] = self._of(number, _protocol(name, key))
        assert len(numbers) == len(set(numbers)), "two frontends share a number"
        return found

    def _of(self, number: str, protocol: str) -> tuple[object, ...]:
        if number in self.maps.get("nobody", {}):
            assert self.maps["balance"][number] == "accept"
            return (self.maps["nobody"][number],)
        chain = self.maps["balance"][number].removeprefix("goto ")
        assert chain in self.chains
        count = int(chain.rpartition("_")[2])
        held = self.maps[f"endpoints_{protocol}"]
        assert f"{number} . {count}" not in held
        sticky = [name for name, items in self.maps.items() if name.startswith("sticky_") and number in items]
        assert bool(sticky) == chain.startswith("returning")
        assert (protocol == "every") == chain.startswith("every_")
        return tuple(held[f"{number} . {index}"] for index in range(count)), *sticky

    def hairpins(self) -> set[str]:
        return set(self.maps.get("hairpin", {}))


def _protocol(name: str, key: str) -> str:
    return "every" if name == "virtual_every" else "udp" if "udp" in key else "tcp"


FRONTENDS = st.builds(
    Frontend,
    st.sampled_from(["", "10.43.0.1", "10.43.0.2"]),
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from([80, 81]),
    st.booleans(),
) | st.builds(Frontend, st.sampled_from(["10.43.0.1", "10.43.0.2"]), st.just(""), st.just(0))
ENDPOINTS = st.sets(st.tuples(st.sampled_from(["10.42.0.2", "10.42.0.3", "10.42.1.4", "192.0.2.1"]), st.just(80)))
BACKENDS = st.builds(
    Backends,
    ENDPOINTS.map(lambda found: tuple(sorted(found))),
    st.sampled_from([0, 60, 120]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, (), ("192.0.2.0/24", "198.51.100.0/25")]),
)
STEPS = st.lists(st.dictionaries(FRONTENDS, st.none() | BACKENDS, max_size=4), max_size=8)


@given(STEPS)
def test_steps_come_to_the_same_as_starting_afresh(steps: list[dict[Frontend, Backends | None]]) -> None:
    kernel, ruleset = Kernel(), Ruleset(CONFIG)
    state: dict[Frontend, Backends] = {}
    for step in steps:
        gone = [frontend for frontend, backends in step.items() if backends is None]
        new = {frontend: backends for frontend, backends in step.items() if backends is not None}
        kernel.run(ruleset.change(gone, new))
        state = {f: b for f, b in (state | new).items() if f not in gone}
        fresh = Kernel()
        fresh.run(Ruleset(CONFIG).change((), state))
        assert kernel.leads_to() == fresh.leads_to()
        assert kernel.hairpins() == fresh.hairpins()
        assert ruleset.counts() == {name: len(kernel.maps.get(name, {})) for name in ruleset.counts()}
        assert ruleset.change((), state) == ""


@given(STEPS)
def test_a_frontend_keeps_its_number_for_as_long_as_it_exists(steps: list[dict[Frontend, Backends | None]]) -> None:
    ruleset = Ruleset(CONFIG)
    known: dict[Frontend, int] = {}
    for step in steps:
        gone = [frontend for frontend, backends in step.items() if backends is None]
        new = {frontend: backends for frontend, backends in step.items() if backends is not None}
        ruleset.change(gone, new)
        known = {frontend: number for frontend, number in known.items() if frontend not in gone}
        for frontend in new:
            assert known.setdefault(frontend, ruleset.number(frontend)) == ruleset.number(frontend)


WAYS = st.dictionaries(
    st.sampled_from(["keeping", "back"]), st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"]))
)


@given(st.lists(WAYS, max_size=6))
def test_ways_between_nodes_follow_the_nodes(steps: list[dict[str, dict[str, str]]]) -> None:
    kernel, ruleset = Kernel(), Ruleset(CONFIG)
    for ways in steps:
        kernel.run(ruleset.connect(ways))
        held = {name: items for name, items in kernel.maps.items() if items}
        assert held == {name: items for name, items in ways.items() if items}
        assert ruleset.connect(ways) == ""
        assert ruleset.counts()["keeping"] == len(ways.get("keeping", {}))


def test_adding_one_endpoint_is_a_handful_of_elements() -> None:
    ruleset = Ruleset(CONFIG)
    frontend = Frontend("10.43.0.1", "tcp", 80)
    ruleset.change((), {frontend: Backends((("10.42.0.2", 80),))})
    ruleset.change((), {Frontend("10.43.0.2", "tcp", 80): Backends((("10.42.0.2", 80), ("10.42.0.3", 80)))})
    commands = ruleset.change((), {frontend: Backends((("10.42.0.2", 80), ("10.42.0.3", 80)))})
    assert [command.split()[:5] for command in commands.split("\n")] == [
        ["delete", "element", "ip", "motet", "balance"],
        ["add", "element", "ip", "motet", "balance"],
        ["add", "element", "ip", "motet", "endpoints_tcp"],
    ]


def test_a_number_that_is_free_again_is_not_given_out_in_the_same_change() -> None:
    ruleset = Ruleset(CONFIG)
    old, new = Frontend("10.43.0.1", "tcp", 80), Frontend("10.43.0.2", "tcp", 80)
    ruleset.change((), {old: Backends(())})
    before = ruleset.number(old)
    ruleset.change([old], {new: Backends(())})
    assert ruleset.number(new) != before


def test_only_pods_of_this_node_can_be_their_own_clients() -> None:
    commands = Ruleset(CONFIG).change((), {Frontend("10.43.0.1", "tcp", 80): Backends((("10.42.1.2", 80),))})
    assert "hairpin" not in commands


def test_clusters_on_one_machine_have_marks_of_their_own(tmp_path: Path) -> None:
    frontend, backends = Frontend("10.43.0.1", "tcp", 80), Backends((("10.42.0.2", 80),))
    numbers = set()
    for table in ("motet", "other"):
        ruleset = Ruleset(config(tmp_path, table=table))
        ruleset.change((), {frontend: backends})
        numbers.add(ruleset.number(frontend) >> 20)
    assert len(numbers) == 2


def test_the_name_servers_own_address_is_no_published_port() -> None:
    assert "ip daddr != 10.43.0.10 fib daddr type local" in base(CONFIG)
