"""Volumes: `docker volume create|ls|inspect|rm|prune`. Each is a PersistentVolumeClaim of the cluster's default class.

So a volume is on one node, and pods that use it go there: Swarm's tasks would get an empty one elsewhere.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import AlreadyExists, NotFound
from motet.dialects.docker import objects, uses
from motet.dialects.docker.call import Call, Voice, answer, empty
from motet.dialects.docker.errors import DockerError, bad, not_found, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route
from motet.kinds import persistentvolume as volume_kind
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.store.document import Document

Json = dict[str, Any]

LOCAL = "local"
# Docker's volumes have no size; a claim must name one, and local volumes are not held to it.
_SIZE = "1Gi"
# A volume that is being removed is gone in a moment, as soon as what protects it has looked.
_LOOK_EVERY = 0.1
_LOOKS = 100


class _Path(msgspec.Struct, gc=False, frozen=True):
    path: str = ""


class _VolumeSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    host_path: _Path | None = None
    local: _Path | None = None


class VolumeView(msgspec.Struct, gc=False, frozen=True):
    spec: _VolumeSpec = _VolumeSpec()

    @property
    def path(self) -> str:
        return (self.spec.local or self.spec.host_path or _Path()).path


class _ClaimSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    volume_name: str = ""


class ClaimView(msgspec.Struct, gc=False, frozen=True):
    spec: _ClaimSpec = _ClaimSpec()


def new_document(fields: Fields, namespace: str) -> Json:
    """The claim of a request to create a volume. Raises DockerError."""
    name = fields.text("Name") or secrets.token_hex(16)
    driver = fields.text("Driver", LOCAL)
    if driver != LOCAL:
        raise DockerError(404, f'plugin "{driver}" not found: Motet has the volume driver local')
    fields.refuse("a local volume is a directory and takes no options", "DriverOpts")
    fields.refuse(
        "cluster volumes are PersistentVolumeClaims of a StorageClass; make them with kubectl", "ClusterVolumeSpec"
    )
    made = claim(name, fields.map("Labels"), namespace)
    fields.finish()
    return made


def claim(name: str, labels: dict[str, str], namespace: str) -> Json:
    """What a volume is made of. Raises DockerError for a name that cannot be."""
    return {
        "apiVersion": claim_kind.KIND.api_version,
        "kind": claim_kind.KIND.kind,
        "metadata": objects.metadata(name, labels, namespace, "volume"),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _SIZE}}},
    }


def translate(document: Document, path: str) -> Json:
    """A claim as Docker shows it. `path` is where it lies on its node, empty as long as it is nowhere."""
    return {
        "CreatedAt": objects.time(document.meta.creation_timestamp),
        "Driver": LOCAL,
        "Labels": objects.labels_of(document.meta),
        "Mountpoint": path,
        "Name": objects.name_of(document.meta),
        "Options": None,
        "Scope": LOCAL,
    }


async def known(call: Voice) -> Sequence[Document]:
    # One that is being removed is gone for Docker, though what protects it may take a moment to let it go.
    found = await call.client.list(claim_kind.KIND, call.engine.namespace)
    return [each for each in found if each.meta.deletion_timestamp is None]


async def shown(call: Call, documents: Sequence[Document]) -> list[Json]:
    paths = {each.name: each.view(VolumeView).path for each in await call.client.list(volume_kind.KIND)}
    return [translate(each, paths.get(each.view(ClaimView).spec.volume_name, "")) for each in documents]


async def find(call: Voice, name: str) -> Document:
    """Volumes have names only. Raises DockerError."""
    found = next((each for each in await known(call) if objects.name_of(each.meta) == name), None)
    if found is None:
        raise DockerError(404, f"get {name}: no such volume")
    return found


async def ls(call: Call) -> web.Response:
    filters = call.filters("dangling", "driver", "label", "name")
    dangling = filters.truth("dangling")
    found = [
        each
        for each in await known(call)
        if filters.contains("name", objects.name_of(each.meta))
        and filters.matches("driver", LOCAL)
        and filters.labels(objects.labels_of(each.meta))
        and (dangling is None or dangling is not bool(await uses.of(call, "volume", each.name)))
    ]
    return answer({"Volumes": await shown(call, found), "Warnings": None})


async def inspect(call: Call) -> web.Response:
    return answer((await shown(call, [await find(call, call.path["name"])]))[0])


async def ensure(call: Voice, document: Json) -> Document:
    """The volume of this claim: making one that is there is no error in Docker. Raises DockerError, ApiError."""
    name = document["metadata"]["name"]
    wanted = document["metadata"]["annotations"].get(objects.NAME) or name
    for _ in range(_LOOKS):
        try:
            return await call.client.create(claim_kind.KIND, document)
        except AlreadyExists:
            pass
        with contextlib.suppress(NotFound):
            found = await call.client.get(claim_kind.KIND, name, call.engine.namespace)
            if found.meta.deletion_timestamp is None:
                if objects.name_of(found.meta) == wanted:
                    return found
                raise DockerError(
                    409, f"the volume {wanted} would be the object {name}, which {objects.name_of(found.meta)} is"
                )
        await call.engine.clock.sleep(_LOOK_EVERY)
    raise DockerError(409, f"the volume {wanted} is being removed; try again in a moment")


async def create(call: Call) -> web.Response:
    made = await ensure(call, new_document(await call.fields(), call.engine.namespace))
    return answer((await shown(call, [made]))[0], 201)


async def remove(call: Call) -> web.Response:
    try:
        document = await find(call, call.path["name"])
    except DockerError:
        if call.flag("force"):
            return empty(204)
        raise
    if users := await uses.of(call, "volume", document.name):
        raise DockerError(
            409, f"remove {objects.name_of(document.meta)}: volume is in use - [{', '.join(map(str, users))}]"
        )
    await call.client.delete(claim_kind.KIND, document.name, document.namespace, uid=document.meta.uid)
    return empty(204)


async def prune(call: Call) -> web.Response:
    """Volumes without a name of people's choice, or all with `all`, that no service uses."""
    filters = call.filters("all", "label", "label!")
    if "label!" in filters:
        raise bad("filters: of prune only all and label are supported by Motet")
    everything = filters.truth("all") or call.version < (1, 42)
    gone = []
    for document in await known(call):
        name = objects.name_of(document.meta)
        anonymous = len(name) == 32 and not set(name) - set("0123456789abcdef")
        if (
            (everything or anonymous)
            and filters.labels(objects.labels_of(document.meta))
            and not await uses.of(call, "volume", document.name)
        ):
            await call.client.delete(claim_kind.KIND, document.name, document.namespace, uid=document.meta.uid)
            gone.append(name)
    return answer({"VolumesDeleted": gone or None, "SpaceReclaimed": 0})


async def update(call: Call) -> web.Response:
    if call.path["name"]:
        raise unsupported("Spec", "only cluster volumes of Docker can be updated; change the PersistentVolumeClaim")
    raise not_found("volume", "")


ROUTES = (
    Route("GET", "/volumes", ls),
    Route("POST", "/volumes/create", create),
    Route("POST", "/volumes/prune", prune),
    Route("GET", "/volumes/{name}", inspect),
    Route("PUT", "/volumes/{name}", update),
    Route("DELETE", "/volumes/{name}", remove),
)
