"""One pod's loop: observe, decide, report, take one step, again.

The worker remembers what `decide` may lose (`Records`), runs the probes of running containers, and is woken by changes of
the pod, by the runtime's events and by probes. A step that became pointless (a long stop when a shorter grace comes, a pull
for a deleted pod) is broken off and decided anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from motet.base.errors import ApiError
from motet.pods import admission, backoff, execute, limits, unsupported
from motet.pods.admission import Neighbours
from motet.pods.decide import decide
from motet.pods.execute import Tools
from motet.pods.imagehealth import ImageHealth
from motet.pods.isolation import second
from motet.pods.ledger import Ledger
from motet.pods.model import (
    RESIZE,
    SANDBOX,
    VOLUMES,
    Cleanup,
    CreateContainer,
    CreateSandbox,
    EnsureImage,
    Failure,
    Final,
    FinishDeletion,
    Observed,
    Prepare,
    Records,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainers,
    StopSandbox,
)
from motet.pods.observe import RuntimeView
from motet.pods.publish import StatusWriter
from motet.pods.security import ConfigError
from motet.pods.spec import Condition, ContainerSpec, Pod, quiet
from motet.pods.status import OWN_CONDITIONS, Host, compute
from motet.pods.telling import Telling
from motet.pods.vitals import Vitals
from motet.runtime.interface import ImageNotFound, RuntimeFailure, RuntimeUnavailable
from motet.store.document import Document

_log = logging.getLogger("motet.pods")

# However quiet it is, look again after this many seconds.
_LOOK_AGAIN = 60.0
_REFRESH_EVERY = 30.0
_RUNTIME_AWAY = 1.0
# First and longest delay between tries, in seconds, by what failed.
_DELAYS = {EnsureImage: (10.0, 300.0), Prepare: (0.5, 122.0), CreateSandbox: (1.0, 60.0), CreateContainer: (2.0, 60.0)}
_OTHER_DELAYS = (1.0, 30.0)
# What steps without a subject of their own are remembered under.
_ENDING = "/ending"
_STARTS = (CreateSandbox, CreateContainer, StartContainer)


class Worker:
    """Looks after one pod until it is gone from API and node (`finished`)."""

    def __init__(
        self, document: Document | None, pod: Pod, tools: Tools, view: RuntimeView, statuses: StatusWriter,
        starts: asyncio.Semaphore, neighbours: Callable[[str], Neighbours], *, static: bool = False,
    ) -> None:  # fmt: skip
        self._document = document
        # What the API has of it: of a static pod only a reflection, which may be missing.
        self._shown = None if static else document
        self._static = static
        self.pod = pod
        self._tools = tools
        self._view = view
        self._statuses = statuses
        self._starts = starts
        self._neighbours = neighbours
        self._gone = document is None
        self.finished = False
        self._woken = asyncio.Event()
        self._hurry = asyncio.Event()
        self._doing: Step | None = None
        self._holds_start = False
        self._first_look = True
        self._granted = pod
        self._released = quiet(pod)
        self._refresh_at = 0.0
        self._status: dict[str, Any] = {}
        self._vitals = Vitals(tools, self.wake)
        self._telling = Telling(tools)
        self._ledger = Ledger(tools.runtime)
        self._image_health = ImageHealth(tools.runtime)
        # The parts of Records.
        self._prepared = False
        self._cleaned = False
        self._removed = False
        self._unsupported = ""
        self._rejected: Final | None = None
        self._evicted: Final | None = None
        self._eviction_grace = 0
        self._failures: dict[str, Failure] = {}
        self._images: dict[str, tuple[int, str]] = {}
        self._stopped: set[str] = set()

    # --- what others tell it ------------------------------------------------------------------------------------------

    def update(self, document: Document) -> None:
        """The API has a newer version of the pod."""
        was_deleting = self.pod.metadata.deletion_timestamp is not None
        self._document, self.pod = document, document.view(Pod)
        if not self._static:
            self._shown = document
        meta = self.pod.metadata
        if meta.deletion_timestamp is not None:
            self._break_off(meta.deletion_grace_period_seconds, first=not was_deleting)
        self.wake()

    def reflected(self, shown: Document | None) -> None:
        """The API shows a static pod so now, or no more."""
        if shown is not None:
            self.pod = msgspec.structs.replace(self.pod, status=shown.view(Pod).status)
        elif self._shown is not None:
            self._statuses.forget(self._shown.meta.uid)
        self._shown = shown
        self.wake()

    def abandon(self) -> None:
        """The API no longer has the pod."""
        self._gone = True
        self._break_off(0, first=True)
        self.wake()

    def evict(self, message: str, grace: int) -> None:
        """The node needs what the pod uses, or the pod uses more than it may: end it."""
        if self._evicted is None and not self._released:
            self._evicted, self._eviction_grace = Final("Failed", "Evicted", message), grace
            self._tools.say(self.pod, "Warning", "Evicted", message)
            self._break_off(grace, first=True)
            self.wake()

    def wake(self) -> None:
        self._woken.set()

    def outdated(self, kind: str, name: str) -> None:
        """Something its volumes may show is another now: a `configmaps` or `secrets` of its namespace."""
        if any(volume.shows(kind, name) for volume in self.pod.spec.volumes or ()):
            self._refresh_at = 0.0
            self.wake()

    def _break_off(self, grace: int | None, *, first: bool) -> None:
        doing = self._doing
        if isinstance(doing, StopContainers):
            if grace is not None and grace < doing.grace:
                self._hurry.set()
        elif first and isinstance(doing, EnsureImage | Prepare):
            self._hurry.set()

    # --- the loop -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the pod is gone, or cancelled (which leaves the pod as it is)."""
        try:
            while not self.finished:
                self._woken.clear()
                await self._turn()
        finally:
            self._release_start()
            await self._vitals.close()

    async def _turn(self) -> None:
        clock = self._tools.clock
        try:
            observed = await self._view.pod(self.pod.metadata.uid)
        except RuntimeFailure as failure:
            _log.debug("the runtime cannot say what there is of pod %s: %s", self.pod.address, failure)
            await clock.sleep(_RUNTIME_AWAY)
            return
        self._enter(observed)
        if self._first_look:
            self._take_over(observed)
        try:
            known = await self._image_health.applied(self._known())
        except RuntimeFailure as failure:
            _log.debug("pod %s: its images cannot be read: %s", self.pod.address, failure)
            await clock.sleep(_RUNTIME_AWAY)
            return
        pod = await self._ledger.look(known, observed, lambda: self._neighbours(self.pod.metadata.uid).room)
        self._vitals.follow(pod, observed)
        now = clock.now().timestamp()
        records = self._records()
        decision = decide(pod, observed, records, now, gone=self._gone)
        self._report(pod, observed, records, now)
        over = self._leaving or quiet(pod) or self._status.get("phase") in ("Succeeded", "Failed")
        self._granted, self._released = pod, over and not observed.running
        if not isinstance(decision.step, (*_STARTS, EnsureImage)):
            self._release_start()
        if decision.step is None:
            await self._idle(decision.wake_at, now, observed)
        else:
            await self._take(pod, decision.step, observed)

    def _take_over(self, observed: Observed) -> None:
        """The first look: a pod that runs already was looked after by an agent before this one."""
        self._first_look = False
        if not observed.containers and self._document is not None and not quiet(self.pod):
            self._unsupported = unsupported.find(self._document.decode())
            if self._unsupported:
                self._tools.say(self.pod, "Warning", "UnsupportedField", self._unsupported)
            elif not observed.sandboxes and not self.pod.status.start_time and not self._leaving:
                self._admit()
        self._vitals.take_over(self.pod, observed)

    def _admit(self) -> None:
        """Whether the node takes a pod that nobody has begun."""
        neighbours = self._neighbours(self.pod.metadata.uid)
        self._rejected = admission.refusal(self.pod, neighbours, self._tools.config.unsafe_sysctls)
        if self._rejected is not None:
            self._tools.say(self.pod, "Warning", self._rejected.reason, self._rejected.message)

    @property
    def _leaving(self) -> bool:
        return self._gone or self.pod.metadata.deletion_timestamp is not None

    @property
    def holds(self) -> Pod | None:
        """The pod with the resources it has of the node; None while the node has not taken it and once it has ended."""
        if self._released or self._rejected is not None or (self._first_look and not self.pod.status.start_time):
            return None
        return self._granted

    @property
    def waits_for_room(self) -> bool:
        """Whether it asks for more than the node can give now."""
        return self._ledger.pending is not None

    def _enter(self, observed: Observed) -> None:
        """Tell the node's network who has which address, before anything can be started with it."""
        sandbox = observed.sandbox
        if sandbox is None or not sandbox.ips or sandbox.id in self._stopped:
            self._tools.isolation.dismiss(self.pod.metadata.uid)
        elif sandbox.ready and self._document is not None and not self.pod.spec.host_network:
            document = self._shown or self._document
            self._tools.isolation.admit(document, sandbox.ips[0], sandbox.id, second(sandbox))

    def _known(self) -> Pod:
        """The pod with what has been worked out about it but may not have come back from the API yet."""
        pod, said = self.pod, self._status
        if not said:
            return pod
        own = msgspec.convert(said["conditions"], type=tuple[Condition, ...])
        foreign = tuple(item for item in pod.status.conditions or () if item.type not in OWN_CONDITIONS)
        status = msgspec.structs.replace(
            pod.status, conditions=own + foreign, start_time=pod.status.start_time or said["startTime"]
        )
        return msgspec.structs.replace(pod, status=status)

    def _records(self) -> Records:
        return Records(
            prepared=self._prepared,
            cleaned=self._cleaned,
            removed=self._removed,
            unsupported=self._unsupported,
            failures=self._failures,
            images=self._images,
            health=self._vitals.health,
            messages=self._vitals.messages,
            stopped=frozenset(self._stopped),
            rejected=self._rejected,
            evicted=self._evicted,
            eviction_grace=self._eviction_grace,
            has=self._ledger.has,
            applied=self._ledger.applied,
            pending=self._ledger.pending,
        )

    async def _idle(self, wake_at: float | None, now: float, observed: Observed) -> None:
        until = min(now + _LOOK_AGAIN, wake_at if wake_at is not None else float("inf"))
        if observed.running and not self._gone and _follows_api(self.pod):
            if now >= self._refresh_at:
                self._refresh_at = now + _REFRESH_EVERY
                await self._refresh()
            until = min(until, self._refresh_at)
        await self._first_of(self._tools.clock.sleep(max(0.0, until - now)), self._woken)

    async def _first_of(self, work: Coroutine[Any, Any, None], event: asyncio.Event) -> bool:
        """Do `work` unless `event` comes first; whether it was done. Raises what it raises."""
        doing = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
                return True
            return False
        finally:
            for task in (doing, waiting):
                task.cancel()
            await asyncio.gather(doing, waiting, return_exceptions=True)

    async def _refresh(self) -> None:
        try:
            await self._tools.volumes.refresh(self.pod)
        except (RuntimeFailure, ApiError) as error:
            _log.debug("volumes of pod %s not refreshed: %s", self.pod.address, error)

    # --- one step -----------------------------------------------------------------------------------------------------

    async def _take(self, pod: Pod, step: Step, observed: Observed) -> None:
        if isinstance(step, _STARTS) and not self._holds_start:
            if not await self._first_of(_acquire(self._starts), self._woken):
                return
            self._holds_start = True
        self._doing = step
        self._hurry.clear()
        try:
            if not await self._first_of(self._do(pod, step, observed), self._hurry):
                return
        except RuntimeUnavailable as away:
            _log.debug("pod %s: the runtime is away: %s", pod.address, away)
            self._release_start()
            await self._tools.clock.sleep(_RUNTIME_AWAY)
        except (RuntimeFailure, ApiError, TimeoutError, OSError) as error:
            if isinstance(step, CreateContainer) and isinstance(error, ImageNotFound):
                # It was here and has been cleared away since.
                self._images.pop(step.container, None)
            await self._failed(pod, step, error)
        else:
            self._failures.pop(_subject(step), None)
        finally:
            self._doing = None

    async def _do(self, pod: Pod, step: Step, observed: Observed) -> None:
        tools = self._tools
        match step:
            case Prepare():
                await execute.prepare(tools, pod)
                self._prepared, self._cleaned, self._removed = True, False, False
            case CreateSandbox():
                await execute.create_sandbox(tools, pod, step)
            case EnsureImage():
                spec = _spec(pod, step.container)
                # An image that is here costs nothing, so the turn is kept and the pod runs soon; fetching one may take minutes.
                say = tools.teller(pod, spec)
                reference = await tools.images.ensure(pod, spec, say, pulling=self._release_start)
                self._images[step.container] = (step.attempt, reference)
            case CreateContainer():
                self._check_late(pod, step.container)
                sandbox = next(box for box in observed.sandboxes if box.id == step.sandbox_id)
                made, has = await execute.create_container(tools, pod, step, sandbox, observed)
                self._ledger.set(made, has)
            case StartContainer():
                await execute.start_container(tools, pod, step, observed.sandbox)
            case ResizeContainer():
                await limits.resize(tools, pod, step, observed, self._ledger.has)
                self._ledger.set(step.container_id, step.resources)
            case StopContainers():
                await execute.stop_containers(tools, pod, step, observed.sandbox)
            case StopSandbox():
                await tools.runtime.stop_sandbox(step.sandbox_id)
                self._stopped.add(step.sandbox_id)
            case RemoveSandbox():
                await self._last_words_said(pod)
                await tools.runtime.remove_sandbox(step.sandbox_id)
            case RemoveContainer():
                container = next(made for made in observed.containers if made.id == step.container_id)
                await execute.remove_container(tools, pod, container)
            case Cleanup():
                await execute.cleanup(tools, pod, everything=step.everything)
                self._prepared, self._cleaned, self._removed = False, True, step.everything
            case FinishDeletion():
                if not self._gone and not self._static:
                    await execute.finish_deletion(tools, pod)
                if self._shown is not None:
                    self._statuses.forget(self._shown.meta.uid)
                self.finished = True
            case _:
                raise TypeError(f"no way to carry out {step}")

    def _check_late(self, pod: Pod, name: str) -> None:
        """Raises ConfigError for an ephemeral container that this node cannot run as it is described."""
        if self._document is not None and any(spec.name == name for spec in pod.ephemerals):
            problem = unsupported.find_ephemeral(self._document.decode(), name)
            if problem:
                raise ConfigError(problem)

    async def _last_words_said(self, pod: Pod) -> None:
        """Whoever watches a deletion sees the containers' ends before the pod is gone; but not for ever."""
        if self._gone or self._shown is None:
            return
        try:
            await asyncio.wait_for(self._statuses.flush(self._shown.meta.uid), 5.0)
        except TimeoutError:
            _log.debug("the last status of pod %s could not be written in time", pod.address)

    async def _failed(self, pod: Pod, step: Step, error: Exception) -> None:
        """Remember a failure so that the next decision waits it out; what fails on the way out is tried again from here."""
        self._release_start()
        subject = _subject(step)
        before = self._failures.get(subject)
        delay = backoff.grown(before.delay if before else None, *_DELAYS.get(type(step), _OTHER_DELAYS))
        failure = Failure(_reason(step, error), str(error), self._tools.clock.now().timestamp(), delay)
        self._failures[subject] = failure
        self._telling.failed(pod, step, failure)
        if subject == _ENDING:
            await self._first_of(self._tools.clock.sleep(delay), self._woken)

    def _release_start(self) -> None:
        if self._holds_start:
            self._holds_start = False
            self._starts.release()

    # --- probes and reports -------------------------------------------------------------------------------------------

    def _report(self, pod: Pod, observed: Observed, records: Records, now: float) -> None:
        if self._document is None or self._gone:
            return
        over = quiet(pod) or pod.metadata.deletion_timestamp is not None
        if over and not observed.containers:
            return
        self._status = compute(pod, observed, records, now, Host(self._tools.config.place.host_ips))
        if self._shown is not None:
            self._statuses.set(self._shown, self._status)
        for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for status in self._status.get(kind, ()):
                self._telling.waiting(pod, status, self._failures)
        self._telling.not_resized(pod, records.pending)


async def _acquire(slots: asyncio.Semaphore) -> None:
    await slots.acquire()


def _spec(pod: Pod, name: str) -> ContainerSpec:
    spec = pod.container(name)
    if spec is None:
        raise RuntimeFailure(f"pod {pod.address} has no container {name}", "CreateContainerError")
    return spec


def _subject(step: Step) -> str:
    match step:
        case EnsureImage(container=name) | CreateContainer(container=name) | StartContainer(container=name):
            return name
        case Prepare():
            return VOLUMES
        case CreateSandbox():
            return SANDBOX
        case ResizeContainer():
            return RESIZE
        case _:
            return _ENDING


def _reason(step: Step, error: Exception) -> str:
    """What upstream would call this failure in a container's waiting state."""
    own = error.reason if isinstance(error, RuntimeFailure) else ""
    match step:
        case Prepare():
            return own if own == "CgroupFailed" else "FailedMount"
        case CreateSandbox():
            return "FailedCreatePodSandBox"
        case CreateContainer():
            referring = own == "CreateContainerConfigError" or isinstance(error, ApiError)
            return "CreateContainerConfigError" if referring else "CreateContainerError"
        case _:
            return own or type(error).__name__


def _follows_api(pod: Pod) -> bool:
    """Whether something of a volume may change while the pod runs."""
    return any(
        any((volume.config_map, volume.secret, volume.downward_api, volume.projected, volume.csi))
        or volume.persistent_volume_claim is not None
        or volume.ephemeral is not None
        for volume in pod.spec.volumes or ()
    )
