"""`docker stop`, `kill`, and how a run comes to its end on purpose.

A pod is stopped by its deadline: it ends as one that was active for long enough, is not started again whatever its policy, and its
log and exit code are kept. Until it has ended it has the time that it was created with (`--stop-timeout`); more or less of that is
a signal before the deadline, or after it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from motet.base.errors import ApiError, NotFound
from motet.dialects.docker import objects
from motet.dialects.docker.call import Call
from motet.dialects.docker.containers import inside, output, starting, watching
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import DockerError
from motet.kinds import pod as pod_kind
from motet.store.document import Document

_KILL = "SIGKILL"
_TERM = "SIGTERM"
_STILL = "SIGSTOP"
# A deadline is one second after a pod's start at the earliest, and counts in whole seconds.
_AGAIN = 1.0


class _Lifecycle(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    stop_signal: str = ""


class _Part(msgspec.Struct, gc=False, frozen=True):
    lifecycle: _Lifecycle | None = None


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    containers: tuple[_Part, ...] = ()
    termination_grace_period_seconds: int = 30


class _View(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()


async def stop(call: Call, container: Container, seconds: float | None, signal: str = "") -> None:
    """Return when it has ended. After `seconds` (None: as it was created; negative: never) it is killed.

    Raises ApiError, DockerError.
    """
    assert container.pod is not None
    spec = container.pod.view(_View).spec
    grace = float(spec.termination_grace_period_seconds)
    allowed = grace if seconds is None else seconds
    if container.template is None:
        await _stop_part(call, container, allowed, signal)
        return
    if container.status is None or container.status.state.running is None:
        # Nothing runs that could be asked to end.
        await end(call, container)
        return
    if signal or not 0 <= allowed <= grace:
        lifecycle = spec.containers[0].lifecycle
        await _signal(call, container, signal or (lifecycle.stop_signal if lifecycle else "") or _TERM)
        if await ended(call, container, None if allowed < 0 else allowed):
            await end(call, container)
            return
        allowed = 0.0
    await _set_deadline(call, container)
    if not await ended(call, container, allowed):
        await _signal(call, container, _KILL)
        await ended(call, container, None)


async def kill(call: Call, container: Container, signal: str) -> None:
    """Send a signal; after SIGKILL it is not started again. Raises ApiError, DockerError."""
    view = container.view
    again = view is not None and view.spec.restart_policy != "Never"
    if container.template is None or not again or signal not in (_KILL, "KILL", "9", ""):
        await inside.signal(call, container, signal or _KILL)
        return
    # Its deadline would have it asked to end first: one that stands still does not hear that before it is killed.
    await inside.signal(call, container, _STILL)
    await _set_deadline(call, container)
    # What is killed before its node knows of the deadline is started again, so nobody is until that must have come.
    while not await ended(call, container, _AGAIN):
        await _signal(call, container, _KILL)


async def end(call: Call, container: Container) -> None:
    """Have its run be over, and return when it is."""
    assert container.pod is not None
    if container.view is not None and container.view.status.start_time is None:
        await starting.remove_run(call, container.pod)
        return
    await _set_deadline(call, container)
    await ended(call, container, None)


async def ended(call: Call, container: Container, seconds: float | None) -> bool:
    """Whether its run has come to an end within so many seconds (None: it is waited for)."""
    assert container.pod is not None
    uid = container.pod.meta.uid

    def look(documents: Sequence[Document]) -> bool | None:
        found = next((each for each in documents if each.meta.uid == uid), None)
        return True if found is None or not output.with_pod(container, found).runs else None

    query = {"fieldSelector": f"metadata.name={container.pod.name}"}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await watching.until(call, pod_kind.KIND, query, look)
    return False


async def _set_deadline(call: Call, container: Container) -> None:
    """Make now the moment at which its pod has been active for long enough."""
    assert container.pod is not None
    view = container.view
    began = objects.seconds(view.status.start_time) if view is not None else 0.0
    active = max(1, int(call.engine.clock.now().timestamp() - began)) if began else 1
    change = {"spec": {"activeDeadlineSeconds": active}}
    with contextlib.suppress(NotFound):
        try:
            await call.client.patch(pod_kind.KIND, container.pod.name, change, container.pod.namespace)
        except ApiError as error:
            # It may have one already, which then is earlier.
            if error.code != 422:
                raise


async def _signal(call: Call, container: Container, name: str) -> None:
    """A signal to something that may just have ended by itself."""
    try:
        await inside.signal(call, container, name)
    except ApiError as error:
        if error.code not in (404, 409):
            raise


async def _stop_part(call: Call, container: Container, seconds: float, signal: str) -> None:
    """A container that is not ours: it is asked to end, and what becomes of its pod is others' business."""
    before = container.status
    await inside.signal(call, container, signal or _TERM)
    if not await _stopped(call, container, None if seconds < 0 else seconds):
        await _signal(call, container, _KILL)
        await _stopped(call, container, None)
    if before is None:
        raise DockerError(409, f"container {container.id} is not running")


async def _stopped(call: Call, container: Container, seconds: float | None) -> bool:
    """Whether the process that ran is no more."""
    assert container.pod is not None
    uid, was = container.pod.meta.uid, container.status.id if container.status is not None else ""

    def look(documents: Sequence[Document]) -> bool | None:
        found = next((each for each in documents if each.meta.uid == uid), None)
        if found is None:
            return True
        status = output.with_pod(container, found).status
        running = status is not None and status.id == was and status.state.running is not None
        return None if running else True

    query = {"fieldSelector": f"metadata.name={container.pod.name}"}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await watching.until(call, pod_kind.KIND, query, look)
    return False
