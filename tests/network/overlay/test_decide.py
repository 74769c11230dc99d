from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from motet.network.overlay.decide import (
    Address,
    Device,
    Drop,
    Kernel,
    Make,
    Put,
    Raise,
    Relax,
    Remove,
    Route,
    Step,
    decide,
)
from motet.network.overlay.peers import Peer, mac_of

OWN = IPv4Network("10.42.0.0/24")
DEVICE = Device("motet-overlay", 4242, 4789, IPv4Address("192.0.2.1"), mac_of(OWN), 1450)
GATEWAY = OWN[1]


def peer(number: int, node: int = 0) -> Peer:
    return Peer(f"n{number}", IPv4Address(f"192.0.2.{node or number + 1}"), IPv4Network(f"10.42.{number}.0/24"))


def applied(kernel: Kernel, steps: list[Step]) -> Kernel:
    """The kernel after these steps, as Linux does it."""
    for step in steps:
        match step:
            case Make(device):
                assert not kernel.occupied
                kernel = Kernel(device=device, up=False, occupied=True)
            case Remove():
                kernel = Kernel()
            case Relax():
                kernel = replace(kernel, lenient=True)
            case Raise(_, mtu):
                assert kernel.device is not None
                kernel = replace(kernel, device=replace(kernel.device, mtu=mtu), up=True)
            case Put(entry):
                assert kernel.up, "an entry was put on a device that is down"
                others = kernel.entries
                if isinstance(entry, Route):
                    others = frozenset(e for e in others if not (isinstance(e, Route) and e.to == entry.to))
                kernel = replace(kernel, entries=others | {entry})
            case Drop(entry):
                kernel = replace(kernel, entries=kernel.entries - {entry})
    return kernel


def test_a_node_alone_has_no_device() -> None:
    assert decide(DEVICE, [GATEWAY], [], Kernel()) == []


def test_the_device_goes_with_the_last_peer() -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], [peer(1)], Kernel()))
    assert decide(DEVICE, [GATEWAY], [], there) == [Remove("motet-overlay")]


def test_a_device_of_somebody_else_is_left_alone_while_there_are_no_peers() -> None:
    assert decide(DEVICE, [GATEWAY], [], Kernel(occupied=True)) == []


def test_a_device_with_other_numbers_is_made_again() -> None:
    there = applied(Kernel(), decide(replace(DEVICE, vni=7), [GATEWAY], [peer(1)], Kernel()))
    steps = decide(DEVICE, [GATEWAY], [peer(1)], there)
    assert steps[:3] == [Remove("motet-overlay"), Make(DEVICE), Relax("motet-overlay")]
    assert decide(DEVICE, [GATEWAY], [peer(1)], applied(there, steps)) == []


def test_a_device_that_is_down_is_raised_and_its_routes_made_again() -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], [peer(1)], Kernel()))
    steps = decide(DEVICE, [GATEWAY], [peer(1)], replace(there, up=False))
    assert steps == [
        Raise("motet-overlay", 1450),
        Put(Route(IPv4Network("10.42.1.0/24"), IPv4Address("10.42.1.0"), GATEWAY)),
    ]


def test_a_device_that_became_strict_about_senders_is_made_lenient_again() -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], [peer(1)], Kernel()))
    assert decide(DEVICE, [GATEWAY], [peer(1)], replace(there, lenient=False)) == [Relax("motet-overlay")]


def test_another_mtu_of_the_network_below_is_followed_without_touching_peers() -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], [peer(1)], Kernel()))
    assert decide(replace(DEVICE, mtu=8950), [GATEWAY], [peer(1)], there) == [Raise("motet-overlay", 8950)]


def test_a_route_comes_after_what_it_needs_and_goes_before() -> None:
    made = decide(DEVICE, [GATEWAY], [peer(1)], Kernel())
    assert isinstance(made[-1], Put)
    assert isinstance(made[-1].entry, Route)
    taken = decide(
        DEVICE, [GATEWAY], [peer(2)], applied(Kernel(), decide(DEVICE, [GATEWAY], [peer(1), peer(2)], Kernel()))
    )
    assert isinstance(taken[0], Drop)
    assert isinstance(taken[0].entry, Route)


def test_a_peer_that_moved_to_another_address_costs_one_entry() -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], [peer(1)], Kernel()))
    steps = decide(DEVICE, [GATEWAY], [peer(1, node=99)], there)
    assert [type(step) for step in steps] == [Drop, Put]


def test_the_device_has_the_address_that_answers_come_back_to() -> None:
    assert Put(Address(GATEWAY)) in decide(DEVICE, [GATEWAY], [peer(1)], Kernel())


clusters = st.lists(st.integers(1, 9), unique=True).map(lambda numbers: [peer(number) for number in numbers])


@given(clusters, clusters, st.data())
def test_any_state_becomes_the_wanted_one_and_then_nothing_is_left_to_do(
    before: list[Peer], after: list[Peer], data: st.DataObject
) -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], before, Kernel()))
    kept = frozenset(data.draw(st.sets(st.sampled_from(sorted(there.entries, key=str)))) if there.entries else ())
    damaged = replace(there, entries=kept)
    there = applied(damaged, decide(DEVICE, [GATEWAY], after, damaged))
    assert decide(DEVICE, [GATEWAY], after, there) == []
    assert there.entries == applied(Kernel(), decide(DEVICE, [GATEWAY], after, Kernel())).entries


@given(clusters, clusters, st.data())
def test_a_plan_that_stopped_half_way_is_finished_by_the_next(
    before: list[Peer], after: list[Peer], data: st.DataObject
) -> None:
    there = applied(Kernel(), decide(DEVICE, [GATEWAY], before, Kernel()))
    steps = decide(DEVICE, [GATEWAY], after, there)
    there = applied(there, steps[: data.draw(st.integers(0, len(steps)))])
    there = applied(there, decide(DEVICE, [GATEWAY], after, there))
    assert decide(DEVICE, [GATEWAY], after, there) == []
