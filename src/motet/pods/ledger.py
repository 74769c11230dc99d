"""What one pod has been granted of its node's resources, and what its containers have of it.

Losing the ledger costs nothing: what was granted is in the pod's status, what containers have is asked of the runtime.
"""

from __future__ import annotations

from collections.abc import Callable

from motet.pods import resizing
from motet.pods.model import Observed, Pending
from motet.pods.resizing import Granted, Room
from motet.pods.spec import Pod, ResourceList
from motet.runtime.interface import ContainerState, NoSuchContainer, Resources, Runtime


class Ledger:
    """One pod's."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._granted: dict[str, ResourceList] | None = None
        # By container id.
        self.has: dict[str, Resources] = {}
        # What running containers were last seen to have in full, as the API says it.
        self.applied: dict[str, ResourceList] = {}
        self.pending: Pending | None = None

    async def look(self, pod: Pod, observed: Observed, room: Callable[[], Room]) -> Pod:
        """The pod with what is granted it now; a new wish is granted if there is room. Raises RuntimeFailure."""
        if self._granted is None:
            self._granted = dict(resizing.reported(pod) if observed.containers else resizing.asked(pod))
            self.applied = dict(self._granted)
        granted = resizing.with_granted(pod, self._granted)
        self.pending = None if granted is pod else resizing.judge(pod, granted, room())
        if self.pending is None and granted is not pod:
            self._granted = dict(resizing.asked(pod))
            granted = pod
        await self._ask_runtime(observed)
        changing = {change.container for change in resizing.changes(granted, observed, self.has)}
        for container in resizing.resizable(granted):
            if container.name not in changing:
                self.applied[container.name] = container.resources
        return granted

    def set(self, container_id: str, resources: Resources) -> None:
        """A container has been made or changed."""
        self.has[container_id] = resources

    @property
    def granted(self) -> Granted:
        return self._granted or {}

    async def _ask_runtime(self, observed: Observed) -> None:
        """About containers that this agent neither made nor changed."""
        running = {made.id for made in observed.containers if made.state is ContainerState.RUNNING}
        for gone in self.has.keys() - {made.id for made in observed.containers}:
            del self.has[gone]
        for container_id in running - self.has.keys():
            try:
                self.has[container_id] = await self._runtime.resources(container_id)
            except NoSuchContainer:
                continue
