"""What a pod refers to by name: ConfigMaps, Secrets, claims and volumes, Services.

Read through the API with a short memory, so that fifty pods starting with the same ConfigMap cost one request. While the API
is away the last copy seen is good enough to restart a container.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from motet.base.clock import Clock
from motet.base.errors import NotFound, ServerError
from motet.client.interface import Client
from motet.kinds import (
    configmap,
    csidriver,
    persistentvolume,
    persistentvolumeclaim,
    runtimeclass,
    secret,
    service,
    volumeattachment,
)
from motet.kinds.kind import Kind
from motet.pods.spec import Pod, Quantity, TokenProjection
from motet.pods.tokens import PodTokens
from motet.store.document import Document, Meta
from motet.store.table import Table

# How long an answer is believed, in seconds.
_BELIEVED = 5.0
# Objects kept for when the API is away.
_REMEMBERED = 1000


class ConfigMapView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None

    def contents(self) -> dict[str, bytes]:
        """Every key with its bytes."""
        values = {key: text.encode() for key, text in (self.data or {}).items()}
        values.update((key, base64.b64decode(text)) for key, text in (self.binary_data or {}).items())
        return values


class SecretView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    data: dict[str, str] | None = None
    type: str = ""

    def contents(self) -> dict[str, bytes]:
        """Every key with its bytes."""
        return {key: base64.b64decode(text) for key, text in (self.data or {}).items()}


class ClaimSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    volume_name: str = ""
    volume_mode: str = "Filesystem"


class ClaimStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = ""
    capacity: dict[str, Quantity] | None = None
    conditions: tuple[dict[str, Any], ...] | None = None


class ClaimView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class PathSource(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    path: str
    type: str | None = None


class SecretReference(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""


class CsiSource(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    driver: str
    volume_handle: str
    fs_type: str = ""
    volume_attributes: dict[str, str] | None = None
    node_stage_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    node_expand_secret_ref: SecretReference | None = None


class VolumeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    host_path: PathSource | None = None
    local: PathSource | None = None
    csi: CsiSource | None = None
    access_modes: tuple[str, ...] | None = None
    mount_options: tuple[str, ...] | None = None
    capacity: dict[str, Quantity] | None = None


class VolumeView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: VolumeSpec = VolumeSpec()


class ServicePort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: int
    name: str = ""
    protocol: str = "TCP"


class ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: tuple[ServicePort, ...] | None = None


class ServiceView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class TokenAudience(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    audience: str = ""
    expiration_seconds: int | None = None


class DriverSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What a driver that says nothing gets (Kubernetes API, CSIDriverSpec)."""

    attach_required: bool = True
    pod_info_on_mount: bool = False
    requires_republish: bool = False
    fs_group_policy: str = "ReadWriteOnceWithFSType"
    volume_lifecycle_modes: tuple[str, ...] = ("Persistent",)
    token_requests: tuple[TokenAudience, ...] | None = None


class _DriverView(msgspec.Struct, gc=False, frozen=True):
    spec: DriverSpec = DriverSpec()


class AttachError(msgspec.Struct, gc=False, frozen=True):
    message: str = ""


class AttachmentStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    attached: bool = False
    attachment_metadata: dict[str, str] | None = None
    attach_error: AttachError | None = None


class AttachmentView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    status: AttachmentStatus = AttachmentStatus()


class RuntimeClassView(msgspec.Struct, gc=False, frozen=True):
    handler: str = ""


class Sources(Protocol):
    """Where named things come from. `None` means there is no such thing."""

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None: ...

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None: ...

    async def claim(self, namespace: str, name: str) -> ClaimView | None: ...

    async def volume(self, name: str) -> VolumeView | None: ...

    async def services(self, namespace: str, *, wait: bool = True) -> Sequence[ServiceView]: ...

    async def runtime_handler(self, name: str) -> str | None: ...

    async def token(self, pod: Pod, wanted: TokenProjection) -> bytes: ...

    def forget(self, uid: str) -> None:
        """A pod is no more."""
        ...


class ApiSources:
    """`Sources` over a client. Raises ApiError when the API fails and nothing is remembered."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._seen: dict[tuple[str, str, str], tuple[float, Document | None]] = {}
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}
        self._services: Table | None = None
        self._services_lock = asyncio.Lock()
        self._tokens = PodTokens(client, clock)

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        document = await self._get(configmap.KIND, namespace, name)
        return None if document is None else document.view(ConfigMapView).contents()

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        document = await self._get(secret.KIND, namespace, name)
        return None if document is None else document.view(SecretView).contents()

    async def claim(self, namespace: str, name: str) -> ClaimView | None:
        document = await self._get(persistentvolumeclaim.KIND, namespace, name, fresh=True)
        return None if document is None else document.view(ClaimView)

    async def volume(self, name: str) -> VolumeView | None:
        document = await self._get(persistentvolume.KIND, "", name)
        return None if document is None else document.view(VolumeView)

    async def services(self, namespace: str, *, wait: bool = True) -> Sequence[ServiceView]:
        """Without `wait`, none as long as none have been heard of."""
        if self._services is None and not wait:
            return ()
        async with self._services_lock:
            if self._services is None:
                self._services = await self._client.table(service.KIND)
        return [document.view(ServiceView) for document in self._services.select(namespace)]

    async def token(self, pod: Pod, wanted: TokenProjection) -> bytes:
        return await self._tokens.get(pod, wanted)

    def forget(self, uid: str) -> None:
        self._tokens.forget(uid)

    def outdated(self, resource: str, namespace: str, name: str) -> None:
        """What is remembered of an object (`core/configmaps`) is no longer so; it is good for when the API is away."""
        key = (resource, namespace, name)
        if key in self._seen:
            self._seen[key] = (float("-inf"), self._seen[key][1])

    async def issued(self, pod: Pod, wanted: TokenProjection) -> tuple[str, float]:
        """A token and when it ends, in seconds since the epoch. Raises ApiError."""
        return await self._tokens.issued(pod, wanted)

    async def csi_driver(self, name: str) -> DriverSpec:
        """How a driver wants to be called; the defaults for one that the API does not know."""
        document = await self._get(csidriver.KIND, "", name)
        return DriverSpec() if document is None else document.view(_DriverView).spec

    async def attachment(self, name: str) -> AttachmentView | None:
        document = await self._get(volumeattachment.KIND, "", name, fresh=True)
        return None if document is None else document.view(AttachmentView)

    async def grown(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Write what a claim has become. Raises ApiError."""
        await self._client.patch(persistentvolumeclaim.KIND, name, {"status": status}, namespace, subresource="status")

    async def runtime_handler(self, name: str) -> str | None:
        """What the nodes' runtime calls a runtime class."""
        document = await self._get(runtimeclass.KIND, "", name)
        return None if document is None else document.view(RuntimeClassView).handler

    async def _get(self, kind: Kind, namespace: str, name: str, *, fresh: bool = False) -> Document | None:
        key = (kind.resource, namespace, name)
        async with self._locks.setdefault(key, asyncio.Lock()):
            at, document = self._seen.get(key, (float("-inf"), None))
            known = key in self._seen
            if known and not fresh and document is not None and self._clock.monotonic() - at < _BELIEVED:
                return document
            try:
                document = await self._client.get(kind, name, namespace)
            except NotFound:
                document = None
            except ServerError:
                if not known or document is None:
                    raise
                return document
            self._seen.pop(key, None)
            self._seen[key] = (self._clock.monotonic(), document)
            while len(self._seen) > _REMEMBERED:
                oldest = next(iter(self._seen))
                del self._seen[oldest]
                self._locks.pop(oldest, None)
            return document
