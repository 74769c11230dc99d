"""The engine against the simplest store there could be: a list of all states that ever were."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from motet.store.engine import Change, Compacted, Event, RevisionConflict
from motet.store.sqlite import SqliteStore, Synchronous

KEYS = st.sampled_from(["a/1", "a/2", "a/3", "b/1", "b/2"])
VALUES = st.one_of(st.none(), st.binary(min_size=1, max_size=3))
# How a change's expectation relates to the truth.
EXPECTATIONS = st.sampled_from(["any", "right", "right", "wrong"])
TRANSACTIONS = st.lists(
    st.tuples(KEYS, VALUES, EXPECTATIONS), min_size=1, max_size=3, unique_by=lambda change: change[0]
)

State = dict[str, tuple[bytes, int, int]]  # value, created, revision


class AgainstModel(RuleBasedStateMachine):
    synchronous: Synchronous = "FULL"

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="motet-model-"))
        self.runner = asyncio.Runner()
        self.states: list[State] = [{}]
        self.events: list[Event] = []
        self.compacted = 0

    @initialize()
    def open(self) -> None:
        self.store = SqliteStore(self.directory / "state.db", self.synchronous)
        self.runner.run(self.store.open())

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    @rule(burst=st.lists(TRANSACTIONS, min_size=1, max_size=6))
    def write(self, burst: list[list[tuple[str, bytes | None, str]]]) -> None:
        """Several transactions submitted before any of them is durable."""

        async def submit() -> tuple[list[object], list[object]]:
            expected: list[object] = []
            futures = []
            for transaction in burst:
                changes = [self._change(*change) for change in transaction]
                expected.append(self._expect(changes))
                futures.append(self.store.submit(changes))
            return expected, await asyncio.gather(*futures, return_exceptions=True)

        expected, answers = self.runner.run(submit())
        shown = [("conflict", e.key, e.actual) if isinstance(e, RevisionConflict) else e for e in answers]
        assert shown == expected

    def _change(self, key: str, value: bytes | None, expectation: str) -> Change:
        actual = self.states[-1].get(key, (b"", 0, 0))[2]
        return Change(key, value, {"any": None, "right": actual, "wrong": actual + 1}[expectation])

    def _expect(self, changes: list[Change]) -> object:
        """Apply to the model; the answer the store should give."""
        state = dict(self.states[-1])
        for change in changes:
            actual = state.get(change.key, (b"", 0, 0))[2]
            if change.expect not in (None, actual):
                return ("conflict", change.key, actual)
        revision = len(self.states)
        events: list[Event] = []
        for change in changes:
            old = state.get(change.key)
            if change.value is None and old is None:
                continue
            created = old[1] if old else revision
            events.append(Event(change.key, change.value, old[0] if old else None, created, revision))
            if change.value is None:
                del state[change.key]
            else:
                state[change.key] = (change.value, created, revision)
        if not events:
            return revision - 1
        self.states.append(state)
        self.events += events
        return revision

    @rule(share=st.floats(0, 1))
    def compact(self, share: float) -> None:
        revision = int(share * (len(self.states) - 1))
        self.runner.run(self.store.compact(revision))
        self.compacted = max(self.compacted, revision)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.open()

    @rule(share=st.floats(0, 1), prefix=st.sampled_from(["", "a/", "b/1"]), limit=st.integers(0, 3), after=KEYS)
    def list_the_past(self, share: float, prefix: str, limit: int, after: str) -> None:
        revision = int(share * (len(self.states) - 1))
        try:
            listing = self.runner.run(self.store.list(prefix, revision=revision, after=after, limit=limit))
        except Compacted:
            assert revision < self.compacted
            return
        assert revision >= self.compacted
        wanted = [
            (key, *entry)
            for key, entry in sorted(self.states[revision].items())
            if key.startswith(prefix) and key > after
        ]
        shown = [(entry.key, entry.value, entry.created, entry.revision) for entry in listing.entries]
        assert shown == (wanted[:limit] if limit else wanted)
        assert listing.more == (bool(limit) and len(wanted) > limit)

    @rule(share=st.floats(0, 1), key=KEYS)
    def get_the_past(self, share: float, key: str) -> None:
        revision = int(share * (len(self.states) - 1))
        if revision < self.compacted:
            return
        entry = self.runner.run(self.store.get(key, revision))
        shown = (entry.value, entry.created, entry.revision) if entry else None
        assert shown == self.states[revision].get(key)

    @rule(share=st.floats(0, 1), prefix=st.sampled_from(["", "a/", "b/1"]))
    def read_history(self, share: float, prefix: str) -> None:
        after = self.compacted + int(share * (len(self.states) - 1 - self.compacted))

        async def read() -> list[Event]:
            batches = self.store.history(prefix, after, self.store.revision)
            return [event async for events in batches for event in events]

        wanted = [event for event in self.events if event.revision > after and event.key.startswith(prefix)]
        assert self.runner.run(read()) == wanted

    @invariant()
    def the_present_is_right(self) -> None:
        if not hasattr(self, "store"):
            return
        assert (self.store.revision, self.store.compacted) == (len(self.states) - 1, self.compacted)
        listing = self.runner.run(self.store.list(""))
        shown = {entry.key: (entry.value, entry.created, entry.revision) for entry in listing.entries}
        assert shown == self.states[-1]


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_the_engine_agrees_with_a_list_of_all_states(synchronous: Synchronous) -> None:
    class Machine(AgainstModel):
        pass

    Machine.synchronous = synchronous
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
