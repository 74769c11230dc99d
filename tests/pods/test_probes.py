from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from motet.base.clock import FakeClock
from motet.pods.actions import Answer
from motet.pods.model import Health
from motet.pods.probes import Prober, Tally, at_start
from motet.pods.spec import ContainerSpec, Probe
from support.pods import app, pod


class Scripted:
    """Actions whose command answers what the script says, the last answer for ever."""

    def __init__(self, *answers: bool) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def command(self, container_id: str, command: Sequence[str], timeout: float) -> Answer:
        self.asked += 1
        return Answer(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0], "said so")


def spec(**probes: Any) -> ContainerSpec:
    made = {name: {"exec": {"command": ["x"]}, **fields} for name, fields in probes.items()}
    return pod(app(**made)).spec.containers[0]


async def history(
    container: ContainerSpec, actions: Scripted, seconds: float, started: float = 0
) -> tuple[list[Health], list[str]]:
    """Every change of health, and what was said, within so much time; the container started `started` seconds from now."""
    clock, changes, said = FakeClock(), [], []
    prober = Prober(
        container, "app-0", "10.42.0.5", actions, clock, at_start(container), changes.append,  # type: ignore[arg-type]
        lambda type, reason, message: said.append(message),
    )  # fmt: skip
    task = asyncio.create_task(prober.run(clock.now().timestamp() + started))
    await clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return changes, said


def test_without_probes_a_container_is_started_and_ready():
    assert at_start(spec()) == Health(started=True, ready=True)


async def test_readiness_needs_a_success_and_is_lost_after_enough_failures():
    changes, _ = await history(spec(readinessProbe={}), Scripted(True, True, False, False, False), 100)
    assert [change.ready for change in changes] == [True, False]


async def test_liveness_kills_after_three_failures_in_a_row_and_then_is_silent():
    changes, said = await history(spec(livenessProbe={}), Scripted(True, False, False, True, False, False, False), 300)
    assert [change.failed for change in changes] == ["Container app failed liveness probe"]
    assert said == ["Liveness probe failed: said so"] * 5


async def test_nothing_else_is_asked_until_the_startup_probe_passes():
    container = spec(startupProbe={"periodSeconds": 5, "failureThreshold": 30}, readinessProbe={})
    changes, _ = await history(container, Scripted(False, False, False, True), 16)
    assert changes == [Health(started=True, ready=False), Health(started=True, ready=True)]


async def test_a_startup_probe_that_never_passes_kills():
    container = spec(startupProbe={"periodSeconds": 1, "failureThreshold": 3})
    changes, _ = await history(container, Scripted(False), 10)
    assert changes[0].failed == "Container app failed startup probe"


async def test_the_initial_delay_counts_from_the_start_of_the_container():
    actions = Scripted(True)
    await history(spec(readinessProbe={"initialDelaySeconds": 30}), actions, 29)
    assert actions.asked == 0


async def test_a_clock_that_was_set_back_does_not_put_probes_off():
    actions = Scripted(True)
    changes, _ = await history(spec(readinessProbe={"initialDelaySeconds": 5}), actions, 6, started=600)
    assert [change.ready for change in changes] == [True]


async def test_a_runtime_that_cannot_be_asked_says_nothing_about_the_container():
    class Away(Scripted):
        async def command(self, container_id: str, command: Sequence[str], timeout: float) -> Answer:
            return Answer(False, "nobody answers", unknown=True)

    changes, said = await history(spec(livenessProbe={}), Away(False), 100)
    assert changes == []
    assert set(said) == {"Liveness probe errored: nobody answers"}


@given(st.lists(st.booleans()), st.integers(1, 4), st.integers(1, 4))
def test_a_verdict_needs_exactly_as_many_equal_answers_as_its_threshold(
    answers: list[bool], passes: int, failures: int
):
    probe, tally = Probe(success_threshold=passes, failure_threshold=failures), Tally()
    for answer in answers:
        tally = tally.after(answer)
    run = 0
    for answer in reversed(answers):
        if answer != answers[-1]:
            break
        run += 1
    enough = bool(answers) and run >= (passes if answers[-1] else failures)
    assert tally.verdict(probe) == (answers[-1] if enough else None)
