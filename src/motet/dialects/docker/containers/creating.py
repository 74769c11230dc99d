"""`docker create`: the first half of `docker run`."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from motet.base.errors import AlreadyExists, NotFound
from motet.dialects.docker import local_images, networks, objects, volumes
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.containers import images, known, naming, request
from motet.dialects.docker.errors import DockerError, bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import attachments
from motet.kinds import podtemplate as template_kind
from motet.kinds import service as service_kind
from motet.kinds.attachments import NetworkKey
from motet.store.document import Document

Json = dict[str, Any]


async def surroundings(call: Call, body: Mapping[str, Any]) -> Surroundings:
    """The networks that a request may name. Raises DockerError for one that is none, or not open to containers."""
    around = Surroundings(call.engine.namespace, str(call.engine.volumes_dir))
    around.host_network = frozenset({networks.HOST, networks.predefined_id(networks.HOST)})
    around.no_network = frozenset({networks.NONE, networks.predefined_id(networks.NONE)})
    configs = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    mode = str((body.get("HostConfig") or {}).get("NetworkMode") or "")
    plain = {"", "default", networks.BRIDGE, *around.host_network, *around.no_network}
    asked = [name for name in {*configs, mode} if name not in plain and not name.startswith("container:")]
    if not asked:
        return around
    found: dict[str, str] = {}
    for document in await networks.known(call):
        for name in (networks.identifier(document), objects.name_of(document.meta)):
            if name in asked and not document.view(networks.View).spec.attachable:
                raise DockerError(
                    403,
                    f"Could not attach to network {name}: rpc error: code = PermissionDenied desc = network {name} not manually "
                    "attachable",
                )
            found[name] = document.name
    if missing := next((name for name in asked if name not in found), ""):
        # Not under 404, at which clients would fetch the image and ask again.
        raise bad(f"network {missing} not found")
    around.networks = found
    return around


async def create(call: Call) -> web.Response:
    if call.query.get("platform"):
        raise unsupported("platform", "a node has images of its own platform only")
    given = await call.json()
    body = Fields(given)
    image = request.image_of(body)
    node = await known.home(call)
    config: Json = {}
    if node:
        # "No such image" is what has the command line fetch it and ask again.
        config = (await local_images.find(call, image)).config
    whole = images.joined(body.items, config)
    containers = await known.everything(call)
    name = call.query.get("name", "").removeprefix("/") or naming.free({each.name for each in containers})
    check_free(name, containers)
    around = await surroundings(call, whole)
    made = request.template(name, Fields(whole), around, node)
    for volume, labels in around.volumes.items():
        await volumes.ensure(call, volumes.claim(volume, labels, call.engine.namespace))
    template = await _keep(call, name, made.document)
    if made.networks:
        await _be_known(call, template, made.networks)
    return answer({"Id": known.identifier(template.meta.uid), "Warnings": []}, 201)


def check_free(name: str, containers: list[known.Container]) -> None:
    """Raises DockerError 409 when somebody is called so."""
    if holder := next((each for each in containers if each.name == name), None):
        raise DockerError(
            409,
            f'Conflict. The container name "/{name}" is already in use by container "{holder.id}". You have to remove (or '
            "rename) that container to be able to reuse that name.",
        )


async def _keep(call: Call, name: str, document: Json) -> Document:
    """Create the PodTemplate. Its own name may be that of a container that is called otherwise by now."""
    try:
        return await call.client.create(template_kind.KIND, document)
    except AlreadyExists:
        check_free(name, await known.everything(call))
    meta = document["metadata"]
    meta["name"] = meta["labels"][known.LABEL] = f"{meta['name'][:50].rstrip('-')}-{secrets.token_hex(4)}"
    meta["annotations"][objects.NAME] = name
    return await call.client.create(template_kind.KIND, document)


async def _be_known(call: Call, template: Document, joined: Mapping[NetworkKey, tuple[str, ...]]) -> None:
    """A Service by which the container is found on its networks: under its name, its short identifier, and its aliases."""
    identifier = known.identifier(template.meta.uid)
    own = (objects.name_of(template.meta).lower(), identifier[:12])
    names = {key: tuple(dict.fromkeys((*own, *aliases))) for key, aliases in joined.items()}
    document = {
        "apiVersion": "v1",
        "kind": service_kind.KIND.kind,
        "metadata": {
            "name": f"c-{identifier[:12]}",
            "namespace": template.namespace,
            "ownerReferences": [objects.owner(template_kind.KIND, template)],
            "annotations": {attachments.ANNOTATION: attachments.text(names, template.namespace)},
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {known.LABEL: template.name},
        },
    }
    try:
        await call.client.create(service_kind.KIND, document)
    except BaseException:
        with contextlib.suppress(NotFound):
            await call.client.delete(template_kind.KIND, template.name, template.namespace, uid=template.meta.uid)
        raise


ROUTES = (Route("POST", "/containers/create", create),)
