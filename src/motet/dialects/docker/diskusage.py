"""`docker system df`: what images, containers and volumes take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from motet.dialects.docker import images, local_images, uses, volumes
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.errors import bad
from motet.dialects.docker.local_images import Image
from motet.dialects.docker.router import Route

Json = dict[str, Any]

_TYPES = ("container", "image", "volume", "build-cache")


def layers_size(known: Sequence[Image]) -> int:
    """Bytes of all layers, those that several images share counted once."""
    return sum({layer.digest: layer.size for image in known for layer in image.layers}.values())


def shared_size(image: Image, known: Sequence[Image]) -> int:
    """Bytes of an image's layers that others have, too."""
    others = {layer.digest for each in known if each.id != image.id for layer in each.layers}
    return sum(layer.size for layer in image.layers if layer.digest in others)


async def _images(call: Call) -> Json:
    known = await local_images.known(call)
    old = call.version < (1, 44)
    shown = [{**images.summary(each, digests=True, old=old), "SharedSize": shared_size(each, known)} for each in known]
    return {"LayersSize": layers_size(known), "Images": shown}


async def _volumes(call: Call) -> Json:
    documents = await volumes.known(call)
    shown = await volumes.shown(call, documents)
    # Nobody measures a volume where it lies.
    counted = [
        {**each, "UsageData": {"Size": -1, "RefCount": len(await uses.of(call, "volume", document.name))}}
        for each, document in zip(shown, documents, strict=True)
    ]
    return {"Volumes": counted}


async def df(call: Call) -> web.Response:
    asked = call.request.rel_url.query.getall("type", list(_TYPES))
    if unknown := next((each for each in asked if each not in _TYPES), ""):
        raise bad(f"unknown object type: {unknown}")
    found: Json = {"LayersSize": 0, "Images": [], "Containers": [], "Volumes": [], "BuildCache": []}
    if "image" in asked:
        found |= await _images(call)
    if "volume" in asked:
        found |= await _volumes(call)
    return answer(found)


ROUTES = (Route("GET", "/system/df", df),)
