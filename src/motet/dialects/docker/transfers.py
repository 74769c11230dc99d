"""Registries: `docker pull|push|login|search`, and what a tag is there, by which `docker service create` pins an image."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import ApiError
from motet.dialects.docker import local_images, references, registry
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.errors import DockerError, bad, not_implemented, unsupported
from motet.dialects.docker.progress import Progress, bar
from motet.dialects.docker.router import Route

Json = dict[str, Any]

_FORBIDDEN, _MISSING = 403, 404


async def create(call: Call) -> web.StreamResponse:
    """`docker pull`; `docker import` comes here, too. Raises DockerError."""
    if call.query.get("fromSrc"):
        raise not_implemented(
            "docker import is not supported by Motet: make an image of files with a Dockerfile (FROM scratch, ADD), or "
            "load one with docker load"
        )
    if call.query.get("platform"):
        raise unsupported("platform", "a node fetches images of its own platform")
    name = call.query.get("fromImage", "")
    if not name:
        raise bad("fromImage is needed: the name of an image")
    given = references.joined(name, call.query.get("tag", ""))
    if "@" not in given and not references.tag_of(given):
        raise unsupported("all-tags", "name the tag of the image that is wanted")
    credentials = registry.for_agent(registry.credentials(call.request.headers.get(registry.HEADER, "")))
    return await _pull(call, references.full(given), credentials)


async def _pull(call: Call, full: str, credentials: dict[str, str]) -> web.StreamResponse:
    progress = Progress(call)
    body = msgspec.json.encode({"name": full, "auth": credentials})
    label = references.tag_of(full) or full.partition("@")[2]
    begun, finished = set(), set()
    try:
        async with local_images.exchange(call, "POST", "pull", body=body) as pieces:
            await progress.status(f"Pulling from {_path(full)}", label)
            async for line in local_images.lines(pieces):
                if "layer" not in line:
                    await progress.status(f"Digest: {line['digest']}")
                    fresh = line["before"] != line["id"]
                    what = "Downloaded newer image for" if fresh else "Image is up to date for"
                    call.note(
                        "image",
                        "pull",
                        references.familiar(full),
                        name=references.familiar(references.repository(full)),
                    )
                    await progress.status(f"Status: {what} {references.familiar(full)}")
                    continue
                short, current, total = line["layer"].removeprefix("sha256:")[:12], line["current"], line["total"]
                if short not in begun:
                    begun.add(short)
                    await progress.status("Pulling fs layer", short)
                if total and current >= total:
                    if short not in finished:
                        finished.add(short)
                        await progress.status("Pull complete", short)
                else:
                    await progress.tell({"status": "Downloading", "id": short, **bar(current, total)})
    except (DockerError, ApiError) as error:
        return await progress.fail(_refused(error, full))
    return await progress.end()


def _path(full: str) -> str:
    """A repository below its registry, as the daemon says it."""
    return references.repository(full).partition("/")[2]


def _refused(error: DockerError | ApiError, full: str) -> DockerError | ApiError:
    """A registry's refusal in the daemon's words, which clients look into."""
    name = references.familiar(references.repository(full))
    if error.code == _FORBIDDEN or (error.code == _MISSING and "credentials" in error.message):
        said = f"pull access denied for {name}, repository does not exist or may require 'docker login'"
        return DockerError(404, said)
    if error.code == _MISSING:
        return DockerError(404, f"manifest for {references.familiar(full)} not found: manifest unknown")
    return DockerError(500, error.message) if error.code == 503 else error


async def push(call: Call) -> web.StreamResponse:
    """One tag to its registry."""
    if call.query.get("platform"):
        raise unsupported("platform", "a node keeps an image of its own platform")
    given = references.joined(call.path["name"], call.query.get("tag", ""))
    if not references.tag_of(given):
        raise unsupported("all-tags", "push one tag after the other")
    full = references.full(given)
    image = await local_images.find(call, given)
    if full not in image.tags:
        raise DockerError(404, f"An image does not exist locally with the tag: {references.familiar(full)}")
    credentials = registry.for_agent(registry.credentials(call.request.headers.get(registry.HEADER, "")))
    progress = Progress(call)
    body = msgspec.json.encode({"image": image.id, "name": full, "auth": credentials})
    words = {"exists": "Layer already exists", "pushing": "Pushing", "pushed": "Pushed"}
    try:
        async with local_images.exchange(call, "POST", "push", body=body) as pieces:
            await progress.status(f"The push refers to repository [{references.repository(full)}]")
            async for line in local_images.lines(pieces):
                if "layer" in line:
                    await progress.status(words[line["state"]], line["layer"].removeprefix("sha256:")[:12])
                    continue
                call.note(
                    "image", "push", references.familiar(full), name=references.familiar(references.repository(full))
                )
                await progress.status(f"{line['tag']}: digest: {line['digest']} size: {line['size']}")
                aux = {"Tag": line["tag"], "Digest": line["digest"], "Size": line["size"]}
                await progress.tell({"progressDetail": {}, "aux": aux})
    except (DockerError, ApiError) as error:
        return await progress.fail(error)
    return await progress.end()


async def distribution(call: Call) -> web.Response:
    """What a registry has under a name: digest, size, platforms."""
    full = references.full(call.path["name"])
    credentials = registry.for_agent(registry.credentials(call.request.headers.get(registry.HEADER, "")))
    try:
        found = await local_images.ask(call, "manifest", {"name": full, "auth": credentials})
    except ApiError as error:
        raise _not_distributed(error) from error
    return answer(
        {
            "Descriptor": {"mediaType": found["mediaType"], "digest": found["digest"], "size": found["size"]},
            "Platforms": found["platforms"],
        }
    )


def _not_distributed(error: ApiError) -> DockerError:
    if error.code in (_FORBIDDEN, _MISSING):
        return DockerError(error.code if error.code == _MISSING else 401, error.message)
    return DockerError(500 if error.code == 503 else error.code, error.message)


async def auth(call: Call) -> web.Response:
    """Whether a registry takes a user's word. Nothing is kept: clients send what they have with each request."""
    fields = await call.fields()
    given = {key: fields.text(key) for key in ("username", "password", "identitytoken", "registrytoken")}
    host = references.host(fields.text("serveraddress"))
    # What old clients send along.
    fields.ignore("email", "auth")
    fields.finish()
    try:
        await local_images.ask(call, "login", {"host": host, "auth": registry.for_agent(given)})
    except ApiError as error:
        if error.code == _FORBIDDEN:
            raise DockerError(401, f'Get "https://{host}/v2/": unauthorized: {error.message}') from error
        raise DockerError(500, error.message) from error
    return answer({"Status": "Login Succeeded", "IdentityToken": ""})


async def search(call: Call) -> web.Response:
    raise not_implemented(
        "docker search is not supported by Motet: registries have no such interface, and Docker's own has a web page for it "
        "(https://hub.docker.com)"
    )


ROUTES = (
    Route("POST", "/images/create", create),
    Route("GET", "/images/search", search),
    Route("POST", "/images/{name*}/push", push),
    Route("GET", "/distribution/{name*}/json", distribution),
    Route("POST", "/auth", auth),
)
