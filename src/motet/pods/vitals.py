"""How the containers of one pod are: probes of those that run, the last words of those that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from motet.pods import termination
from motet.pods.execute import Tools, pod_ips
from motet.pods.model import Health, Observed, seconds
from motet.pods.probes import Prober, at_start
from motet.pods.spec import ContainerSpec, Pod
from motet.pods.status import container_id
from motet.runtime.interface import Container, ContainerState


class Vitals:
    """One pod's. `changed` is called when a probe's answer matters."""

    def __init__(self, tools: Tools, changed: Callable[[], None]) -> None:
        self._tools = tools
        self._changed = changed
        self._probers: dict[str, asyncio.Task[None]] = {}
        # Both by container id.
        self.health: dict[str, Health] = {}
        self.messages: dict[str, str] = {}

    async def close(self) -> None:
        """Stop asking."""
        for task in self._probers.values():
            task.cancel()
        await asyncio.gather(*self._probers.values(), return_exceptions=True)
        self._probers.clear()

    def take_over(self, pod: Pod, observed: Observed) -> None:
        """What runs already was looked after by an agent before this one: believe what the API heard of it."""
        for container in observed.running:
            reported = pod.reported(container.name)
            if reported is not None and reported.container_id == container_id(container):
                self.health[container.id] = Health(started=bool(reported.started), ready=reported.ready)

    def follow(self, pod: Pod, observed: Observed) -> None:
        """Probe what runs, stop probing what does not, read the last words of what has ended."""
        running = {container.id: container for container in observed.running}
        for ended in [known for known in self._probers if known not in running]:
            self._probers.pop(ended).cancel()
        present = {container.id for container in observed.containers}
        for memory in (self.health, self.messages):
            for forgotten in [known for known in memory if known not in present]:
                del memory[forgotten]
        for container in running.values():
            spec = pod.container(container.name)
            if spec is not None and container.id not in self._probers:
                self._probe(pod, spec, container, observed)
        for container in observed.containers:
            if container.state is ContainerState.EXITED and container.id not in self.messages:
                self.messages[container.id] = termination.read(container)

    def _probe(self, pod: Pod, spec: ContainerSpec, container: Container, observed: Observed) -> None:
        health = self.health.setdefault(container.id, at_start(spec))
        if not (spec.startup_probe or spec.readiness_probe or spec.liveness_probe):
            self.health[container.id] = at_start(spec)
            return
        ips = pod_ips(pod, observed.sandbox, self._tools.config)
        if not ips:
            return

        def changed(health: Health) -> None:
            self.health[container.id] = health
            self._changed()

        prober = Prober(
            spec,
            container.id,
            ips[0],
            self._tools.actions,
            self._tools.clock,
            health,
            changed,
            self._tools.teller(pod, spec),
        )
        self._probers[container.id] = asyncio.create_task(prober.run(seconds(container.started_at)))
