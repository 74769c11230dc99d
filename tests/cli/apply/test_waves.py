"""Who may start next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from motet.cli.apply.states import Phase, ServiceState
from motet.cli.apply.waves import releasable, waits_for
from motet.cli.compose.model import Service

CONDITIONS = ("started", "healthy", "completed")


def service(name: str, *needs: tuple[str, str]) -> Service:
    return Service(name, 1, image="x", depends_on=needs)


def done(name: str) -> ServiceState:
    return ServiceState(name, Phase.READY, started=True, completed=True)


def test_what_waits_for_nothing_goes_at_once() -> None:
    found = releasable([service("a"), service("b"), service("c", ("a", "started"))], {})
    assert [item.name for item in found] == ["a", "b"]


def test_a_condition_holds_a_service_back_until_it_is_met() -> None:
    web = service("web", ("db", "healthy"))
    starting = ServiceState("db", Phase.STARTING, started=True)
    assert releasable([web], {"db": starting}) == []
    assert releasable([web], {"db": ServiceState("db", Phase.READY)}) == [web]


def test_what_is_waited_for_is_said() -> None:
    web = service("web", ("db", "healthy"), ("init", "completed"), ("log", "started"))
    assert waits_for(web, {"log": done("log")}) == "waits for db to be healthy, init to end well"


@given(st.data())
def test_every_order_without_circles_comes_to_its_end(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    earlier = [st.sets(st.integers(0, number - 1), max_size=3) if number else st.just(set()) for number in range(count)]
    condition = st.sampled_from(CONDITIONS)
    services = [
        service(f"s{number}", *((f"s{other}", data.draw(condition)) for other in data.draw(earlier[number])))
        for number in range(count)
    ]
    states: dict[str, ServiceState] = {}
    waves = 0
    while turn := releasable(data.draw(st.permutations(services)), states):
        for item in turn:
            assert all(name in states for name, _ in item.depends_on)
        states |= {item.name: done(item.name) for item in turn}
        waves += 1
    assert len(states) == count
    assert waves <= count
