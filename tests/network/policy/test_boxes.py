from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from motet.network.policy.boxes import ANY_PROTOCOL, LAST_PORT, Box, disjoint, spans

ranges = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: (min(pair), max(pair)))
limited = st.builds(Box, ranges, st.sampled_from([(6, 6), (17, 17)]), ranges)
boxes = st.lists(limited | st.builds(Box, ranges), max_size=8)


@given(boxes, st.integers(0, 13), st.sampled_from([1, 6, 17]), st.integers(0, 13))
def test_disjoint_boxes_hold_exactly_what_the_given_ones_held(
    given_: list[Box], address: int, protocol: int, port: int
) -> None:
    assert any(box.holds(address, protocol, port) for box in disjoint(given_)) == any(
        box.holds(address, protocol, port) for box in given_
    )


@given(boxes)
def test_no_two_of_them_overlap(given_: list[Box]) -> None:
    def meet(one: tuple[int, int], two: tuple[int, int]) -> bool:
        return one[0] <= two[1] and two[0] <= one[1]

    for one, two in combinations(disjoint(given_), 2):
        assert not (
            meet(one.addresses, two.addresses) and meet(one.protocols, two.protocols) and meet(one.ports, two.ports)
        )


@given(boxes)
def test_the_same_content_gives_the_same_boxes_in_whatever_order_it_came(given_: list[Box]) -> None:
    assert disjoint(disjoint(given_)) == disjoint(given_) == disjoint(reversed(given_))


def test_neighbouring_networks_become_one_box() -> None:
    low, high = spans(IPv4Network("10.0.0.0/25"), ()), spans(IPv4Network("10.0.0.128/25"), ())
    (found,) = disjoint(Box(span, (6, 6), (80, 80)) for span in low + high)
    assert found.text() == "10.0.0.0-10.0.0.255 . 6 . 80"


def test_a_box_of_everything_names_all_protocols_and_ports() -> None:
    assert Box((0, 2**32 - 1), ANY_PROTOCOL, (0, LAST_PORT)).text() == "0.0.0.0-255.255.255.255 . 0-255 . 0-65535"


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(28, 32)), max_size=4))
def test_spans_are_the_addresses_that_are_not_excepted(holes: list[tuple[int, int]]) -> None:
    network = IPv4Network("10.0.0.0/28")
    excepted = [IPv4Network((int(network[offset]), length), strict=False) for offset, length in holes]
    found = {n for low, high in spans(network, excepted) for n in range(low, high + 1)}
    assert found == {int(a) for a in network} - {int(a) for hole in excepted for a in hole}


def test_an_exception_outside_changes_nothing() -> None:
    assert spans(IPv4Network("10.0.0.0/24"), [IPv4Network("10.0.1.0/24")]) == [
        (int(IPv4Address("10.0.0.0")), int(IPv4Address("10.0.0.255")))
    ]
