"""How often strangers may be wrong."""

from motet.api.http.limits import FailureLimit, Rate
from motet.base.clock import FakeClock


async def test_a_source_may_be_wrong_a_few_times_and_then_waits() -> None:
    clock = FakeClock()
    limit = FailureLimit(clock, each=Rate(3, 0.5))
    for _ in range(3):
        assert limit.wait("a") == 0
        limit.failed("a")
    assert limit.wait("a") == 2
    assert limit.wait("b") == 0
    await clock.advance(2)
    assert limit.wait("a") == 0


def test_everybody_together_is_limited_too() -> None:
    limit = FailureLimit(FakeClock(), together=Rate(5, 1))
    for number in range(5):
        limit.failed(str(number))
    assert limit.wait("nobody yet") == 1


def test_memory_does_not_grow_with_the_number_of_sources() -> None:
    limit = FailureLimit(FakeClock(), remembered=10)
    for number in range(1000):
        limit.failed(str(number))
    assert len(limit) == 10
