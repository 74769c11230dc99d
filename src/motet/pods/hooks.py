"""postStart and preStop (Kubernetes "Container Lifecycle Hooks")."""

from __future__ import annotations

from motet.base.clock import Clock
from motet.pods.actions import Actions, Answer
from motet.pods.spec import ContainerSpec, Handler

# Upstream waits for postStart as long as it takes; a command that never ends would block the pod for ever.
POST_START_TIMEOUT = 600.0


async def run(
    handler: Handler,
    container: ContainerSpec,
    container_id: str,
    pod_ip: str,
    actions: Actions,
    clock: Clock,
    timeout: float,
) -> Answer:
    """Carry out one hook within `timeout` seconds."""
    if handler.exec is not None:
        return await actions.command(container_id, handler.exec.command or (), timeout)
    if handler.http_get is not None:
        return await actions.http(container, handler.http_get, pod_ip, timeout)
    if handler.tcp_socket is not None:
        return await actions.tcp(container, handler.tcp_socket, pod_ip, timeout)
    if handler.sleep is not None:
        await clock.sleep(min(float(handler.sleep.seconds), timeout))
        return Answer(True)
    return Answer(False, "the hook names nothing to do")
