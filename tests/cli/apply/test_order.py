"""Which service is written first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from motet.cli.apply.order import ordered
from motet.cli.compose.model import Service


@given(st.data())
def test_what_is_waited_for_comes_first_and_nothing_is_left_out(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    earlier = [st.sets(st.integers(0, number - 1), max_size=3) if number else st.just(set()) for number in range(count)]
    services = [
        Service(f"s{number}", 1, image="x", depends_on=tuple((f"s{each}", "started") for each in data.draw(needs)))
        for number, needs in enumerate(earlier)
    ]
    found = ordered(data.draw(st.permutations(services)))
    assert sorted(each.name for each in found) == sorted(each.name for each in services)
    for index, service in enumerate(found):
        assert {other for other, _ in service.depends_on} <= {each.name for each in found[:index]}
