"""Startup, readiness and liveness probes (Kubernetes "Probes"; kubelet's prober).

`Tally` decides, purely, what a row of answers means. `Prober` asks for one container, from its start to its end: first the
startup probe alone, then readiness and liveness beside each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from motet.base.clock import Clock
from motet.pods.actions import Actions, Answer
from motet.pods.model import Health
from motet.pods.spec import ContainerSpec, Probe


@dataclass(frozen=True, slots=True)
class Tally:
    """How the last answers went: `run` equal ones in a row."""

    ok: bool | None = None
    run: int = 0

    def after(self, ok: bool) -> Tally:
        return Tally(ok, self.run + 1 if ok == self.ok else 1)

    def verdict(self, probe: Probe) -> bool | None:
        """True: passed; False: failed; None: not enough of either yet."""
        if self.ok is None:
            return None
        threshold = probe.success_threshold if self.ok else probe.failure_threshold
        return self.ok if self.run >= threshold else None


def at_start(container: ContainerSpec) -> Health:
    """The health of a container nobody has asked yet."""
    started = container.startup_probe is None
    return Health(started=started, ready=started and container.readiness_probe is None)


Say = Callable[[str, str, str], None]


class Prober:
    """Asks one running container. `changed(health)` is called when the answer matters."""

    def __init__(
        self,
        container: ContainerSpec,
        container_id: str,
        pod_ip: str,
        actions: Actions,
        clock: Clock,
        health: Health,
        changed: Callable[[Health], None],
        say: Say,
    ) -> None:
        self._container = container
        self._container_id = container_id
        self._pod_ip = pod_ip
        self._actions = actions
        self._clock = clock
        self._health = health
        self._changed = changed
        self._say = say

    async def run(self, started_at: float) -> None:
        """Probe until cancelled; `started_at` is when the container started, in epoch seconds."""
        spec = self._container
        if spec.startup_probe is not None and not self._health.started:
            await self._watch("Startup", spec.startup_probe, started_at)
        async with asyncio.TaskGroup() as group:
            if spec.readiness_probe is not None:
                group.create_task(self._watch("Readiness", spec.readiness_probe, started_at))
            if spec.liveness_probe is not None:
                group.create_task(self._watch("Liveness", spec.liveness_probe, started_at))

    async def _watch(self, kind: str, probe: Probe, started_at: float) -> None:
        # A clock that was set back since the container started must not make it wait any longer than it would from now.
        age = max(0.0, self._clock.now().timestamp() - started_at)
        await self._clock.sleep(max(0.0, probe.initial_delay_seconds - age))
        tally = Tally()
        while True:
            answer = await self._ask(probe)
            if answer.unknown:
                self._say("Warning", "Unhealthy", f"{kind} probe errored: {answer.output}".rstrip())
                await self._clock.sleep(max(1, probe.period_seconds))
                continue
            tally = tally.after(answer.ok)
            if answer.warning:
                self._say("Warning", "ProbeWarning", f"{kind} probe warning: {answer.warning}".rstrip())
            if not answer.ok:
                self._say("Warning", "Unhealthy", f"{kind} probe failed: {answer.output}".rstrip())
            verdict = tally.verdict(probe)
            if verdict is not None:
                self._conclude(kind, probe, verdict)
                if kind == "Startup" and verdict:
                    return
                if not verdict and kind != "Readiness":
                    # It is being killed; asking on would only repeat the complaint.
                    await asyncio.Event().wait()
            await self._clock.sleep(max(1, probe.period_seconds))

    def _conclude(self, kind: str, probe: Probe, passed: bool) -> None:
        health = self._health
        if kind == "Readiness":
            health = replace(health, ready=passed)
        elif passed and kind == "Startup":
            health = replace(health, started=True, ready=self._container.readiness_probe is None)
        elif not passed:
            message = f"Container {self._container.name} failed {kind.lower()} probe"
            health = replace(health, failed=message, grace=probe.termination_grace_period_seconds)
        if health != self._health:
            self._health = health
            self._changed(health)

    async def _ask(self, probe: Probe) -> Answer:
        spec, timeout = self._container, float(max(1, probe.timeout_seconds))
        if probe.exec is not None:
            return await self._actions.command(self._container_id, probe.exec.command or (), timeout)
        if probe.http_get is not None:
            return await self._actions.http(spec, probe.http_get, self._pod_ip, timeout)
        if probe.tcp_socket is not None:
            return await self._actions.tcp(spec, probe.tcp_socket, self._pod_ip, timeout)
        if probe.grpc is not None:
            return await self._actions.health_service(probe.grpc.port, probe.grpc.service or "", self._pod_ip, timeout)
        return Answer(True)
