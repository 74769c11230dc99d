"""What holds whatever is written: a model of plain dicts beside the registry on real SQLite."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tests.api.registry.cluster import ADMIN, config, kernel

from motet.api.options import DeleteOptions, ListOptions, PatchType, WatchOptions
from motet.api.registry import Registry
from motet.api.watching import Watch
from motet.base.errors import AlreadyExists, Conflict, NotFound
from motet.kinds import configmap

KIND = configmap.KIND
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])
VALUES = st.sampled_from(["1", "2", "3"])
State = dict[str, dict[str, str]]


class Laws(RuleBasedStateMachine):
    moments = Bundle("moments")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.registry: Registry = self.loop.run_until_complete(
            self.stack.enter_async_context(kernel(Path(self.folder.name)))
        )
        self.model: State = {}
        self.past: dict[int, State] = {}
        self.watches: list[tuple[Watch, State]] = []

    def teardown(self) -> None:
        for watch, _ in self.watches:
            watch.events.close()
        self.loop.run_until_complete(self.stack.aclose())
        self.loop.close()
        self.folder.cleanup()

    def run(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    @initialize(target=moments)
    def beginning(self) -> int:
        return self.remember()

    def remember(self) -> int:
        revision = self.registry.store.revision
        self.past[revision] = {name: dict(data) for name, data in self.model.items()}
        return revision

    @rule(target=moments, name=NAMES, value=VALUES)
    def create(self, name: str, value: str) -> int:
        try:
            self.run(self.registry.create(KIND, "default", config(name, x=value), ADMIN))
            assert name not in self.model
            self.model[name] = {"x": value}
        except AlreadyExists:
            assert name in self.model
        return self.remember()

    @rule(target=moments, name=NAMES, key=NAMES, value=VALUES)
    def patch(self, name: str, key: str, value: str) -> int:
        before = self.registry.store.revision
        try:
            patch = {"data": {key: value}}
            self.run(self.registry.patch(KIND, "default", name, patch, PatchType.MERGE, ADMIN))
            changes = self.model[name].get(key) != value
            assert (self.registry.store.revision > before) == changes, "only a change is written"
            self.model[name][key] = value
        except NotFound:
            assert name not in self.model
        return self.remember()

    @rule(target=moments, name=NAMES, values=st.lists(VALUES, min_size=2, max_size=5, unique=True))
    def patch_at_once(self, name: str, values: list[str]) -> int:
        if name in self.model:
            patches = [{"data": {f"k{value}": value}} for value in values]
            calls = [self.registry.patch(KIND, "default", name, patch, PatchType.MERGE, ADMIN) for patch in patches]

            async def together() -> None:
                await asyncio.gather(*calls)

            self.run(together())
            self.model[name].update({f"k{value}": value for value in values})
        return self.remember()

    @rule(name=NAMES, value=VALUES, stale=st.booleans())
    def put(self, name: str, value: str, stale: bool) -> None:
        found = self.registry.table(KIND).get(name, "default")
        if found is None:
            return
        document = {**found.decode(), "data": {"x": value}}
        if stale:
            document["metadata"]["resourceVersion"] = str(found.revision - 1)
        try:
            self.run(self.registry.update(KIND, "default", name, document, ADMIN))
            assert not stale
            self.model[name] = {"x": value}
        except Conflict:
            assert stale
        self.remember()

    @rule(target=moments, name=NAMES)
    def delete(self, name: str) -> int:
        try:
            self.run(self.registry.delete(KIND, "default", name, ADMIN, DeleteOptions()))
            del self.model[name]
        except NotFound:
            assert name not in self.model
        return self.remember()

    @rule(revision=moments)
    def watch(self, revision: int) -> None:
        options = WatchOptions(resource_version=str(revision))
        watch = self.run(self.registry.watch(KIND, "default", ADMIN, options))
        self.watches.append((watch, {name: dict(data) for name, data in self.past[revision].items()}))

    @rule(revision=moments, limit=st.integers(1, 3), name=NAMES, value=VALUES)
    def list_then(self, revision: int, limit: int, name: str, value: str) -> None:
        """Pages of one moment, with a write between them."""
        options = ListOptions(limit=limit, resource_version=str(revision), resource_version_match="Exact")
        listed: State = {}
        while True:
            page = self.run(self.registry.list(KIND, "default", ADMIN, options))
            assert page.revision == revision
            listed |= {document.name: document.decode().get("data", {}) for document in page.documents}
            if not page.continue_token:
                break
            self.patch(name, name, value)
            options = ListOptions(limit=limit, continue_token=page.continue_token)
        assert listed == self.past[revision]

    @invariant()
    def the_current_list_is_the_model(self) -> None:
        page = self.run(self.registry.list(KIND, "default", ADMIN))
        assert {document.name: document.decode().get("data", {}) for document in page.documents} == self.model

    @invariant()
    def watches_arrive_where_the_model_is(self) -> None:
        """Applying what a watch says to the state it began from gives the present, each event above the last."""
        self.run(self.catch_up())
        for watch, state in self.watches:
            assert state == self.model
            assert watch.events.revision == self.registry.store.revision

    async def catch_up(self) -> None:
        for watch, state in self.watches:
            while watch.events.revision < self.registry.store.revision:
                async with asyncio.timeout(5):
                    batch = await anext(watch.events)
                for event in batch:
                    if event.type == "DELETED":
                        del state[event.document.name]
                    else:
                        assert (event.type == "ADDED") == (event.document.name not in state)
                        state[event.document.name] = event.document.decode().get("data", {})


TestLaws = Laws.TestCase
TestLaws.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
