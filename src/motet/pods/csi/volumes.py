"""Volumes of CSI drivers, in pods and out of them: stage once for the node, publish for each pod, and back in reverse.

Everything is written down before a driver is asked (`records`), and forgotten after the driver has undone it, so a crash at
any moment leaves nothing that is not known. Calls are repeated rather than remembered: drivers answer the second like the
first. While a volume's driver is away nothing of it can be done, and the pod waits, at its beginning as at its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from motet.base import quantity
from motet.base.clock import Clock
from motet.base.errors import ApiError
from motet.base.timestamps import format_time
from motet.pods import mounts, ownership
from motet.pods.csi import request
from motet.pods.csi.records import Publication, Records, Staging
from motet.pods.csi.request import Wanted
from motet.pods.sources import AttachmentView, ClaimView, DriverSpec
from motet.pods.spec import Pod, TokenProjection
from motet.runtime.csi import Access, CsiFailure, Driver, NodeCapability, NodeInfo, Usage
from motet.runtime.interface import RuntimeFailure

_log = logging.getLogger("motet.pods.csi")

# How long to wait for somebody to attach a volume before the pod's turn is over, and between looks, in seconds.
_ATTACHING = 20.0
_LOOK_FIRST, _LOOK_LONGEST = 0.1, 1.0
_TOKEN_SECONDS = 3600
_RESIZE_CONDITIONS = ("Resizing", "FileSystemResizePending")


@dataclass(frozen=True, slots=True)
class Registered:
    """A driver that has made itself known to this node."""

    driver: Driver
    info: NodeInfo

    def can(self, capability: NodeCapability) -> bool:
        return capability in self.info.capabilities


class CsiSources(Protocol):
    """What is asked of the API. `None` means there is no such thing. Raises ApiError."""

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None: ...

    async def csi_driver(self, name: str) -> DriverSpec: ...

    async def attachment(self, name: str) -> AttachmentView | None: ...

    async def issued(self, pod: Pod, wanted: TokenProjection) -> tuple[str, float]: ...

    async def grown(self, namespace: str, name: str, status: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class VolumeUsage:
    """What a volume of a pod holds; `claim` is empty for a volume that the pod brought itself."""

    volume: str
    claim: str
    usage: Usage


@dataclass(slots=True)
class _Turns:
    """Of one volume."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


async def _nobody() -> None:
    """Where nobody needs to know which volumes are in use."""


class CsiVolumes:
    """The CSI volumes of all pods of one node, below the kubelet's `root`.

    `drivers` are those registered just now. `announce` is set to what tells the cluster about `in_use`: it is awaited before
    an attached volume is touched, so that nobody detaches it meanwhile.
    """

    def __init__(
        self, root: Path, sources: CsiSources, clock: Clock, node: str, drivers: Mapping[str, Registered]
    ) -> None:
        self._records = Records(root)
        self._sources = sources
        self._clock = clock
        self._node = node
        self._drivers = drivers
        self._turns: dict[tuple[str, str], _Turns] = {}
        self.announce: Callable[[], Awaitable[None]] = _nobody

    def uids(self) -> list[str]:
        """The pods that have, or may have, such volumes here."""
        return self._records.uids()

    def in_use(self) -> list[str]:
        """`Node.status.volumesInUse`: attached volumes that must not be detached now."""
        found = self._records.publications()
        return sorted({request.unique_name(each.driver, each.handle) for _, each in found if each.attachment})

    def has(self, pod: Pod, volume: str) -> bool:
        """Whether a volume of a pod is such a one, and in its place."""
        found = self._records.of_pod(pod.metadata.uid)
        return any(each.volume == volume and each.published for each in found)

    # --- into a pod ---------------------------------------------------------------------------------------------------

    async def mount(self, pod: Pod, volume: str, wanted: Wanted, claim: ClaimView | None = None) -> Path:
        """Where the pod's volume `volume` is, after all that has to be done for it. Safe to repeat.

        Raises CsiFailure, RuntimeFailure, ApiError, OSError.
        """
        found = self._driver(wanted.driver)
        options = await self._sources.csi_driver(wanted.driver)
        if problem := request.refusal(wanted, options):
            raise RuntimeFailure(problem, "FailedMount")
        attached = not wanted.inline and options.attach_required
        record = Publication(
            driver=wanted.driver,
            handle=wanted.handle,
            name=wanted.name,
            attachment=request.attachment_name(wanted.handle, wanted.driver, self._node) if attached else "",
            volume=volume,
            claim=wanted.claim,
            block=wanted.block,
        )
        uid = pod.metadata.uid
        target = self._records.target(uid, record)
        async with self._alone(wanted.driver, wanted.handle):
            if not await asyncio.to_thread(self._is_published, uid, record, target):
                await asyncio.to_thread(self._records.keep, uid, record)
                context = await self._attached(record) if attached else {}
                await self._bring(pod, wanted, found, options, record, context)
                await asyncio.to_thread(self._records.keep, uid, msgspec.structs.replace(record, published=True))
            if claim is not None:
                await self._grow(pod, wanted, found, record, claim)
        return target

    def _is_published(self, uid: str, record: Publication, target: Path) -> bool:
        """Whether an earlier call, perhaps of an earlier agent, came to its end and its mount is still there."""
        done = msgspec.structs.replace(record, published=True) in self._records.of_pod(uid)
        return done and mounts.mounted(target)

    async def _bring(
        self,
        pod: Pod,
        wanted: Wanted,
        found: Registered,
        options: DriverSpec,
        record: Publication,
        publish_context: Mapping[str, str],
    ) -> None:
        """Stage and publish."""
        security = pod.spec.security_context
        access = request.access(wanted, found.info.capabilities, security.fs_group)
        staging = ""
        if not wanted.inline and found.can(NodeCapability.STAGE_UNSTAGE_VOLUME):
            staging = await self._stage(wanted, found, access, publish_context)
        await self._publish(pod, wanted, found, options, record, access, staging, publish_context)
        if request.owned_by_group(wanted, options, found.info.capabilities):
            always = security.fs_group_change_policy != "OnRootMismatch"
            target = self._records.target(pod.metadata.uid, record)
            await asyncio.to_thread(ownership.give, target, security.fs_group, always=always)

    async def _stage(
        self, wanted: Wanted, found: Registered, access: Access, publish_context: Mapping[str, str]
    ) -> str:
        record = Staging(wanted.driver, wanted.handle, wanted.name, wanted.block)
        path = self._records.staging(record)
        done = msgspec.structs.replace(record, staged=True)
        if await asyncio.to_thread(lambda: self._records.staged(record.driver, record.handle) == done) and (
            wanted.block or mounts.mounted(path)
        ):
            return str(path)
        await asyncio.to_thread(self._records.keep_staging, record)
        await found.driver.stage(
            wanted.handle,
            str(path),
            access,
            context=wanted.context,
            publish_context=publish_context,
            secrets=await self._secrets(wanted.stage_secret),
        )
        await asyncio.to_thread(self._records.keep_staging, done)
        return str(path)

    async def _publish(
        self,
        pod: Pod,
        wanted: Wanted,
        found: Registered,
        options: DriverSpec,
        record: Publication,
        access: Access,
        staging: str,
        publish_context: Mapping[str, str],
    ) -> None:
        target = self._records.target(pod.metadata.uid, record)
        await asyncio.to_thread(target.parent.mkdir, mode=0o750, parents=True, exist_ok=True)
        await found.driver.publish(
            wanted.handle,
            str(target),
            access,
            staging=staging,
            read_only=wanted.read_only,
            context=await self._context(pod, wanted, options),
            publish_context=publish_context,
            secrets=await self._secrets(wanted.publish_secret),
        )

    async def _context(self, pod: Pod, wanted: Wanted, options: DriverSpec) -> dict[str, str]:
        context = dict(wanted.context)
        if options.pod_info_on_mount:
            context |= request.pod_info(pod, inline=wanted.inline)
        tokens = {}
        for each in options.token_requests or ():
            asked = TokenProjection(
                audience=each.audience, expiration_seconds=each.expiration_seconds or _TOKEN_SECONDS
            )
            token, ends = await self._sources.issued(pod, asked)
            until = format_time(datetime.fromtimestamp(ends, UTC))
            tokens[each.audience] = {"token": token, "expirationTimestamp": until}
        if tokens:
            context[request.TOKENS] = json.dumps(tokens)
        return context

    async def _secrets(self, where: tuple[str, str] | None) -> dict[str, str]:
        if where is None:
            return {}
        namespace, name = where
        found = await self._sources.secret(namespace, name)
        if found is None:
            raise RuntimeFailure(f'secret "{name}" not found in namespace "{namespace}"', "FailedMount")
        try:
            return {key: value.decode() for key, value in found.items()}
        except UnicodeDecodeError as error:
            # Without the error's own words, which would show some of the secret.
            raise RuntimeFailure(f'secret "{namespace}/{name}" holds bytes that are not text', "FailedMount") from error

    async def _attached(self, record: Publication) -> Mapping[str, str]:
        """Wait until the volume is attached to this node; what the driver said then."""
        await self.announce()
        began, delay = self._clock.monotonic(), _LOOK_FIRST
        what = f'AttachVolume.Attach failed for volume "{record.name}" : '
        while True:
            found = await self._sources.attachment(record.attachment)
            if found is not None and found.metadata.deletion_timestamp is not None:
                raise RuntimeFailure(f"{what}it is being detached from this node", "FailedAttachVolume")
            if found is not None and found.status.attached:
                return found.status.attachment_metadata or {}
            if self._clock.monotonic() - began >= _ATTACHING:
                error = found.status.attach_error if found is not None else None
                waited = f"timed out waiting for external-attacher of {record.driver} CSI driver to attach volume {record.handle}"
                raise RuntimeFailure(what + (error.message if error is not None else waited), "FailedAttachVolume")
            await self._clock.sleep(delay)
            delay = min(2 * delay, _LOOK_LONGEST)

    async def refresh(self, pod: Pod, volume: str, wanted: Wanted, claim: ClaimView | None = None) -> None:
        """Publish again where the driver wants that now and then; let a volume in use grow. Raises as `mount`."""
        found = self._driver(wanted.driver)
        record = next((each for each in self._records.of_pod(pod.metadata.uid) if each.volume == volume), None)
        if record is None or not record.published:
            return
        options = await self._sources.csi_driver(wanted.driver)
        async with self._alone(wanted.driver, wanted.handle):
            if options.requires_republish:
                access = request.access(wanted, found.info.capabilities, pod.spec.security_context.fs_group)
                context = await self._attached(record) if record.attachment else {}
                await self._publish(pod, wanted, found, options, record, access, self._staging_of(record), context)
            if claim is not None:
                await self._grow(pod, wanted, found, record, claim)

    def _staging_of(self, record: Publication) -> str:
        staged = self._records.staged(record.driver, record.handle)
        return str(self._records.staging(staged)) if staged is not None else ""

    async def _grow(self, pod: Pod, wanted: Wanted, found: Registered, record: Publication, claim: ClaimView) -> None:
        """Let the file system become as large as its volume is by now, then the claim."""
        if not request.outgrown(wanted, claim, found.info.capabilities):
            return
        await found.driver.expand(
            wanted.handle,
            str(self._records.target(pod.metadata.uid, record)),
            quantity.whole(wanted.capacity),
            request.access(wanted, found.info.capabilities, None),
            staging=self._staging_of(record),
            secrets=await self._secrets(wanted.expand_secret),
        )
        kept = [each for each in claim.status.conditions or () if each.get("type") not in _RESIZE_CONDITIONS]
        status = {"capacity": {"storage": wanted.capacity}, "conditions": kept or None}
        await self._sources.grown(pod.metadata.namespace, claim.metadata.name, status)

    # --- and out of it ------------------------------------------------------------------------------------------------

    async def unmount(self, uid: str) -> None:
        """Give back every such volume of a pod. Safe to repeat. Raises RuntimeFailure, OSError while it is not done."""
        told = False
        for record in await asyncio.to_thread(self._records.of_pod, uid):
            async with self._alone(record.driver, record.handle):
                found = self._driver(record.driver)
                await found.driver.unpublish(record.handle, str(self._records.target(uid, record)))
                if await asyncio.to_thread(self._last, uid, record):
                    await self._unstage(record, found)
                await asyncio.to_thread(self._records.drop, uid, record)
            told = told or bool(record.attachment)
        if told:
            try:
                await self.announce()
            except ApiError as error:
                # The next heartbeat tells.
                _log.debug("not told yet which volumes are not in use any more: %s", error)

    async def _unstage(self, record: Publication, found: Registered) -> None:
        staged = await asyncio.to_thread(self._records.staged, record.driver, record.handle)
        if staged is not None:
            await found.driver.unstage(record.handle, str(self._records.staging(staged)))
            await asyncio.to_thread(self._records.drop_staging, staged)

    def _last(self, uid: str, record: Publication) -> bool:
        """Whether no other pod here has the volume, nor has begun to get it."""
        return not any(
            (each.driver, each.handle) == (record.driver, record.handle) and (owner, each.name) != (uid, record.name)
            for owner, each in self._records.publications()
        )

    # --- figures ------------------------------------------------------------------------------------------------------

    async def usage(self, uid: str) -> list[VolumeUsage]:
        """Of a pod's volumes whose drivers can say. One that fails now is left out."""
        found = []
        for record in await asyncio.to_thread(self._records.of_pod, uid):
            driver = self._drivers.get(record.driver)
            if driver is None or record.block or not record.published:
                continue
            if not driver.can(NodeCapability.GET_VOLUME_STATS):
                continue
            target = str(self._records.target(uid, record))
            try:
                used = await driver.driver.usage(record.handle, target, self._staging_of(record))
            except CsiFailure as failure:
                _log.debug("volume %s of driver %s: %s", record.handle, record.driver, failure)
                continue
            found.append(VolumeUsage(record.volume, record.claim, used))
        return found

    # --- drivers ------------------------------------------------------------------------------------------------------

    def _driver(self, name: str) -> Registered:
        found = self._drivers.get(name)
        if found is None:
            raise RuntimeFailure(f"driver name {name} not found in the list of registered CSI drivers", "FailedMount")
        return found

    @asynccontextmanager
    async def _alone(self, driver: str, handle: str) -> AsyncIterator[None]:
        """One thing at a time for one volume; the lock is forgotten with the last who wants it."""
        key = (driver, handle)
        turns = self._turns.setdefault(key, _Turns())
        turns.users += 1
        try:
            async with turns.lock:
                yield
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[key]
