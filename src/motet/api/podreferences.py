"""What a pod names of other objects, and what of the pod names it.

One list for all who go by it: a node may read what its pods name (`http/nodegraph`), and so a node may make no pod that names
anything (`noderestriction`), and a service account may limit the secrets that its pods name (`serviceaccounts`). Were there a list
for each, what one forgets would be a way around the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from motet.kinds.kind import Json
from motet.store.document import Document

CLAIMS = "persistentvolumeclaims"
SECRETS = "secrets"
# (resource, namespace, name)
Reference = tuple[str, str, str]


class Part(NamedTuple):
    """Of a pod, what names something: `volume "data"`."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"' if self.name else self.kind


class _Named(msgspec.Struct, gc=False, frozen=True):
    name: str = ""


class _SecretName(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    secret_name: str = ""


class _ClaimName(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    claim_name: str = ""


class _ValueFrom(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    config_map_key_ref: _Named | None = None
    secret_key_ref: _Named | None = None


class _Env(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    value_from: _ValueFrom | None = None


class _EnvFrom(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    config_map_ref: _Named | None = None
    secret_ref: _Named | None = None


class _Container(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    env: tuple[_Env, ...] | None = None
    env_from: tuple[_EnvFrom, ...] | None = None


class _Source(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    config_map: _Named | None = None
    secret: _Named | None = None


class _Projected(msgspec.Struct, gc=False, frozen=True):
    sources: tuple[_Source, ...] | None = None


class _Csi(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_publish_secret_ref: _Named | None = None


class _Volume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    config_map: _Named | None = None
    secret: _SecretName | None = None
    projected: _Projected | None = None
    persistent_volume_claim: _ClaimName | None = None
    ephemeral: dict[str, Any] | None = None
    csi: _Csi | None = None


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    service_account_name: str = ""
    containers: tuple[_Container, ...] | None = None
    init_containers: tuple[_Container, ...] | None = None
    ephemeral_containers: tuple[_Container, ...] | None = None
    volumes: tuple[_Volume, ...] | None = None
    image_pull_secrets: tuple[_Named, ...] | None = None


class _Metadata(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    namespace: str = ""


class _PodView(msgspec.Struct, gc=False, frozen=True):
    metadata: _Metadata = _Metadata()
    spec: _PodSpec = _PodSpec()


# Read past the document's memory of views: it is wanted once for each change, and there are many pods.
_pods = msgspec.json.Decoder(_PodView)


def references(pod: Document) -> frozenset[Reference]:
    """Everything a pod names that its node has to read."""
    return frozenset(found for _, found in _references(_pods.decode(pod.raw)))


def named(pod: Json) -> Iterator[tuple[Part, Reference]]:
    """The same of a pod that is not stored yet, one by one, and by what part of the pod."""
    return _references(msgspec.convert(pod, _PodView))


def _references(pod: _PodView) -> Iterator[tuple[Part, Reference]]:
    where = pod.metadata.namespace
    for part, resource, name in _names(pod):
        if name:
            yield part, (resource, where, name)


def _names(pod: _PodView) -> Iterator[tuple[Part, str, str]]:
    spec = pod.spec
    yield Part("serviceAccountName"), "serviceaccounts", spec.service_account_name
    for secret in spec.image_pull_secrets or ():
        yield Part("imagePullSecrets"), SECRETS, secret.name
    for container in (*(spec.containers or ()), *(spec.init_containers or ()), *(spec.ephemeral_containers or ())):
        part = Part("container", container.name)
        for source in container.env_from or ():
            yield from _either(part, source.config_map_ref, source.secret_ref)
        for variable in container.env or ():
            if variable.value_from is not None:
                yield from _either(part, variable.value_from.config_map_key_ref, variable.value_from.secret_key_ref)
    for volume in spec.volumes or ():
        yield from _of_volume(volume, pod.metadata.name)


def _of_volume(volume: _Volume, pod: str) -> Iterator[tuple[Part, str, str]]:
    part = Part("volume", volume.name)
    yield from _either(part, volume.config_map, None)
    if volume.secret is not None:
        yield part, SECRETS, volume.secret.secret_name
    if volume.csi is not None:
        yield from _either(part, None, volume.csi.node_publish_secret_ref)
    if volume.persistent_volume_claim is not None:
        yield part, CLAIMS, volume.persistent_volume_claim.claim_name
    if volume.ephemeral is not None:
        yield part, CLAIMS, f"{pod}-{volume.name}"
    for source in (volume.projected.sources or ()) if volume.projected is not None else ():
        yield from _either(part, source.config_map, source.secret)


def _either(part: Part, config_map: _Named | None, secret: _Named | None) -> Iterator[tuple[Part, str, str]]:
    if config_map is not None:
        yield part, "configmaps", config_map.name
    if secret is not None:
        yield part, SECRETS, secret.name
