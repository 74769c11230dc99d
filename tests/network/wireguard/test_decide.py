from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from motet.network.overlay.peers import Peer
from motet.network.wireguard.decide import (
    Address,
    Aside,
    Change,
    Configuration,
    Configure,
    Drop,
    Fence,
    Greet,
    Make,
    Observed,
    Put,
    Raise,
    Relax,
    Remote,
    Remove,
    Route,
    Rule,
    Session,
    Step,
    Tunnel,
    Wanted,
    decide,
    dismantle,
    silent,
    wanted,
)

ALL = IPv4Network("10.42.0.0/16")
PODS = IPv4Network("10.42.0.0/24")
RULE = Rule(9, 7, to=ALL)
OWN = Tunnel("wg", "own", 51842, 1440, IPv4Address("10.42.0.1"), PODS, ALL, 7, (RULE,))
STANDING = [Put(Aside(PODS, 7)), Put(Fence(ALL, 7)), Put(RULE)]
LASTING = (Fence, Aside, Rule)
NOW = 1_000_000.0


def peer(number: int, key: str = "", node: int = 0) -> Peer:
    network = IPv4Network(f"10.42.{number}.0/24")
    return Peer(f"n{number}", IPv4Address(f"192.0.2.{node or number}"), network, key or f"key{number}")


def peers(*found: Peer) -> Wanted:
    return wanted(found, "own", OWN.port)


def applied(there: Observed, steps: list[Step]) -> Observed:
    """What is there after these steps, as Linux and WireGuard do it."""
    for step in steps:
        held = there.configuration
        match step:
            case Make():
                assert not there.occupied
                there = replace(there, configuration=Configuration("", 0), occupied=True, mtu=1420)
            case Remove():
                there = Observed(entries=frozenset(each for each in there.entries if isinstance(each, LASTING)))
            case Configure(key, port):
                assert held is not None
                dead = key != held.key
                sessions = tuple(replace(each, handshake=0.0 if dead else each.handshake) for each in held.sessions)
                there = replace(there, configuration=Configuration(key, port, sessions))
            case Change(forget, learn):
                assert held is not None
                gone = {*forget, *(each.key for each in learn)}
                taken = {network for each in learn for network in each.allowed}
                kept = [_without(each, taken) for each in held.sessions if each.remote.key not in gone]
                sessions = (*kept, *(Session(each) for each in learn))
                there = replace(there, configuration=replace(held, sessions=sessions))
            case Greet():
                assert there.up, "one that is raised greets by itself"
            case Relax():
                there = replace(there, lenient=True)
            case Raise(mtu):
                there = replace(there, up=True, mtu=mtu)
            case Put(entry):
                assert there.up or isinstance(entry, LASTING), "an entry was put on a device that is down"
                others = there.entries
                if isinstance(entry, Route):
                    others = frozenset(each for each in others if not (isinstance(each, Route) and each.to == entry.to))
                there = replace(there, entries=others | {entry})
            case Drop(entry):
                there = replace(there, entries=there.entries - {entry})
    return there


def _without(session: Session, networks: set[IPv4Network]) -> Session:
    """A peer loses addresses that another one is given."""
    left = tuple(network for network in session.remote.allowed if network not in networks)
    return replace(session, remote=replace(session.remote, allowed=left))


def brought_up(*found: Peer) -> Observed:
    return applied(Observed(), decide(OWN, peers(*found), Observed(), NOW))


def test_a_node_alone_has_a_fence_and_no_device() -> None:
    assert decide(OWN, peers(), Observed(), NOW) == STANDING


def test_all_of_it_goes_when_it_is_not_needed_and_nothing_is_led_to_what_is_gone() -> None:
    steps = dismantle(brought_up(peer(1)))
    assert steps[:2] == [Remove(), Drop(RULE)]
    assert applied(brought_up(peer(1)), steps) == Observed()
    assert dismantle(Observed()) == []


def test_the_end_of_a_peers_tunnel_is_left_to_vxlan() -> None:
    assert Put(Aside(IPv4Network("10.42.1.0/32"), 7)) in decide(OWN, peers(peer(1)), Observed(), NOW)


def test_the_fence_stays_when_the_last_peer_goes() -> None:
    assert decide(OWN, peers(), brought_up(peer(1)), NOW) == [Remove(), Drop(Aside(IPv4Network("10.42.1.0/32"), 7))]


def test_the_fence_comes_before_everything_else() -> None:
    assert decide(OWN, peers(peer(1)), Observed(), NOW)[:3] == STANDING


def test_a_peer_is_its_key_its_address_and_its_own_pods_and_nothing_more() -> None:
    (remote,) = peers(peer(1)).remotes
    assert remote == Remote("key1", (IPv4Address("192.0.2.1"), 51842), (IPv4Network("10.42.1.0/24"),), 25)


def test_a_node_without_a_key_is_no_peer_yet() -> None:
    assert peers(replace(peer(1), key="")) == Wanted()


def test_two_nodes_cannot_have_one_key() -> None:
    found = peers(peer(1), peer(2, "key1"), peer(3, "own"))
    assert [remote.key for remote in found.remotes] == ["key1"]
    assert found.complaints == (
        "node n2: its WireGuard key is also that of node n1",
        "node n3: its WireGuard key is also that of this node",
    )


def test_a_peer_with_another_key_takes_the_place_of_the_one_before_at_once() -> None:
    steps = decide(OWN, peers(peer(1, "fresh")), brought_up(peer(1)), NOW)
    assert steps == [Change(("key1",), peers(peer(1, "fresh")).remotes)]


def test_with_another_key_of_its_own_the_node_greets_those_that_knew_the_old_one() -> None:
    steps = decide(replace(OWN, key="fresh"), peers(peer(1), peer(2)), brought_up(peer(1)), NOW)
    known, new = peers(peer(1), peer(2)).remotes
    assert steps[:3] == [Configure("fresh", 51842), Change((), (new,)), Greet((known,))]


def test_a_device_of_another_kind_makes_room() -> None:
    steps = decide(
        OWN, peers(peer(1)), Observed(occupied=True, entries=frozenset(each.entry for each in STANDING)), NOW
    )
    assert steps[:3] == [Remove(), Make(), Configure("own", 51842)]


def test_a_device_that_is_down_is_raised_and_its_routes_made_again() -> None:
    there = _down(brought_up(peer(1)))
    route = Route(IPv4Network("10.42.1.0/24"), OWN.gateway, 7)
    assert decide(OWN, peers(peer(1)), there, NOW) == [Raise(1440), Put(route)]


def _down(there: Observed) -> Observed:
    """The kernel forgets the routes of a device that is down."""
    return replace(there, up=False, entries=frozenset(e for e in there.entries if not isinstance(e, Route)))


def test_a_peer_that_answers_from_elsewhere_than_its_document_says_is_left_there() -> None:
    there = _from(brought_up(peer(1)), "198.51.100.7", NOW - 100)
    assert decide(OWN, peers(peer(1)), there, NOW) == []


def test_a_peer_that_does_not_answer_is_looked_for_where_its_document_says() -> None:
    there = _from(brought_up(peer(1)), "198.51.100.7", NOW - 300)
    assert decide(OWN, peers(peer(1)), there, NOW) == [Change((), peers(peer(1)).remotes)]


def _from(there: Observed, address: str, handshake: float) -> Observed:
    assert there.configuration is not None
    (session,) = there.configuration.sessions
    remote = replace(session.remote, endpoint=(IPv4Address(address), 4))
    return replace(there, configuration=replace(there.configuration, sessions=(Session(remote, handshake),)))


def test_addresses_that_a_peer_should_not_have_are_taken_from_it() -> None:
    there = brought_up(peer(1))
    assert there.configuration is not None
    (session,) = there.configuration.sessions
    greedy = replace(session.remote, allowed=(*session.remote.allowed, IPv4Network("10.42.9.0/24")))
    there = replace(there, configuration=replace(there.configuration, sessions=(Session(greedy),)))
    assert decide(OWN, peers(peer(1)), there, NOW) == [Change((), peers(peer(1)).remotes)]


def test_peers_whose_last_handshake_is_long_ago_are_silent() -> None:
    there = _from(brought_up(peer(1)), "192.0.2.1", NOW - 181)
    assert silent(peers(peer(1)), there, NOW) == {"key1"}
    assert silent(peers(peer(1)), _from(there, "192.0.2.1", NOW - 100), NOW) == frozenset()


def test_the_device_has_the_address_that_answers_come_back_to() -> None:
    assert Put(Address(OWN.gateway)) in decide(OWN, peers(peer(1)), Observed(), NOW)


_PEERS = st.lists(
    st.builds(peer, st.integers(1, 6), st.sampled_from(["", "shared", "other"]), st.integers(0, 9)),
    unique_by=lambda each: each.name,
    max_size=6,
)
_TUNNELS = st.builds(
    lambda key, port, mtu, rules: replace(OWN, key=key, port=port, mtu=mtu, rules=rules),
    st.sampled_from(["own", "fresh"]),
    st.sampled_from([51842, 7]),
    st.sampled_from([1440, 8940]),
    st.sampled_from([(RULE,), (Rule(8, 254, mark=8), Rule(9, 7, mark=4))]),
)


@given(before=_PEERS, after=_PEERS, tunnel=_TUNNELS, up=st.booleans(), data=st.data())
def test_from_anywhere_and_after_any_crash_it_ends_with_just_what_is_wanted(
    before: list[Peer], after: list[Peer], tunnel: Tunnel, up: bool, data: st.DataObject
) -> None:
    there = brought_up(*before)
    there = there if up else _down(there)
    aim = wanted(after, tunnel.key, tunnel.port)
    steps = decide(tunnel, aim, there, NOW)
    there = applied(there, steps[: data.draw(st.integers(0, len(steps)))])
    there = applied(there, decide(tunnel, aim, there, NOW))
    assert decide(tunnel, aim, there, NOW) == []
    held = there.configuration.sessions if there.configuration else ()
    assert {session.remote for session in held} == set(aim.remotes)


@given(after=_PEERS)
def test_no_two_peers_have_one_key_or_one_address_to_send_from(after: list[Peer]) -> None:
    found = wanted(after, "own", 1).remotes
    assert len({remote.key for remote in found}) == len(found)
    assert len({network for remote in found for network in remote.allowed}) == len(found)
