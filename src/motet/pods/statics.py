"""Running what a node's own files say, and keeping the API's picture of it true.

The pods run whether there is an API or not. What the API shows of each (its reflection, a "mirror pod") is made, made
again when somebody deletes it, and taken away when the file is gone. Nobody changes the pod by changing the reflection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, ApiError, Conflict, NotFound
from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.kinds.podspec.mirror import MIRROR
from motet.pods import manifests
from motet.pods.manager import Manager
from motet.store.document import Document

_log = logging.getLogger("motet.pods.static")
_LOOK_EVERY = 2.0


class StaticPods:
    """One node's. `node_uid` gives the uid of its Node, empty while that is not known."""

    def __init__(
        self, directory: Path, node: str, manager: Manager, client: Client, clock: Clock, node_uid: Callable[[], str]
    ) -> None:
        self._directory = directory
        self._node = node
        self._manager = manager
        self._client = client
        self._clock = clock
        self._node_uid = node_uid
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Look at the files every two seconds until cancelled."""
        while True:
            self._manager.run_static(self.found())
            await self.reflect()
            await self._clock.sleep(_LOOK_EVERY)

    def found(self) -> list[Document]:
        """What the files say now; what they said before while the directory cannot be read."""
        if not self._directory.is_dir():
            return []
        try:
            found, problems = manifests.read(self._directory, self._node)
        except OSError as error:
            _log.warning("%s cannot be read: %s", self._directory, error)
            return self._manager.static()
        for problem in problems:
            if (problem.file, problem.message) not in self._told:
                _log.warning("%s: not run: %s", problem.file, problem.message)
        self._told = {(problem.file, problem.message) for problem in problems}
        return found

    async def reflect(self) -> None:
        """Bring the API's picture up to date; what fails is tried again at the next look."""
        wanted = {document.meta.uid: document for document in self._manager.static()}
        shown: set[str] = set()
        for reflection in self._manager.reflections():
            uid = (reflection.meta.annotations or {}).get(MIRROR, "")
            if uid in wanted and reflection.meta.deletion_timestamp is None:
                shown.add(uid)
            else:
                await self._try(reflection, self._remove)
        if not self._node_uid():
            return
        for uid, document in wanted.items():
            if uid not in shown:
                await self._try(document, self._show)

    async def _show(self, document: Document) -> None:
        body = manifests.reflection(document, self._node, self._node_uid())
        try:
            await self._client.create(pod_kind.KIND, body, document.namespace)
        except AlreadyExists:
            # The one of before is on its way out, or its news on their way here.
            return

    async def _remove(self, reflection: Document) -> None:
        try:
            await self._client.delete(
                pod_kind.KIND, reflection.name, reflection.namespace, uid=reflection.meta.uid, grace_seconds=0
            )
        except (NotFound, Conflict):
            return

    async def _try(self, document: Document, act: Callable[[Document], Awaitable[None]]) -> None:
        try:
            await act(document)
        except ApiError as error:
            _log.warning("the API's picture of static pod %s not brought up to date: %s", document.name, error)
