"""`docker build` by the classic builder's API, `docker builder prune`. What builds is what builds for `motet up`.

BuildKit's API is a gRPC service of its own behind `/session` and `/grpc`, with the client serving files to it; it is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import ApiError
from motet.dialects.docker import local_images, references
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.errors import DockerError, bad, unsupported
from motet.dialects.docker.progress import Progress
from motet.dialects.docker.router import Route

Json = dict[str, Any]

# To the agent: what is to be built, and what registries are shown for it.
_ASKED = "X-Motet-Build"
_REGISTRIES = "X-Motet-Registries"
_CONFIG = "X-Registry-Config"

# What is read; what says nothing here, whatever it is; and what may only be as good as not said.
_READ = frozenset(
    {"t", "dockerfile", "buildargs", "labels", "target", "extrahosts", "nocache", "pull", "q", "networkmode"}
)
_NOTHING = frozenset({"rm", "forcerm", "version", "buildid", "session"})
_EMPTY = ("", "0", "null", "[]", "{}", "false", "default")
_WHY = {
    "remote": "send the context itself: docker build DIRECTORY",
    "squash": "images keep their layers",
    "cachefrom": "layers that the builder has are reused by themselves",
    "platform": "a node builds images of its own platform",
    "outputs": "only BuildKit has these",
}


def asked(query: Mapping[str, str], names: list[str]) -> Json:
    """What the agent is asked for. Raises DockerError for what cannot be honoured."""
    if query.get("version") == "2":
        raise bad(NO_BUILDKIT)
    for name, value in query.items():
        if name not in _READ | _NOTHING and value.lower() not in _EMPTY:
            raise unsupported(name, _WHY.get(name, "steps run as they do for motet up"))
    network = query.get("networkmode") or "default"
    if network not in ("default", "host"):
        raise unsupported("networkmode", "steps run on the machine's own network")
    args = _texts(query, "buildargs", dict[str, str | None])
    labels = _texts(query, "labels", dict[str, str])
    hosts = query.get("extrahosts", "")
    return {
        "dockerfile": query.get("dockerfile") or "Dockerfile",
        "names": [references.full(name) for name in names if name],
        "args": {name: value for name, value in args.items() if value is not None},
        "labels": labels,
        "target": query.get("target", ""),
        "hosts": _hosts(hosts),
        "no_cache": _true(query, "nocache"),
        "pull": _true(query, "pull"),
    }


def _true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() not in ("", "0", "no", "false", "none")


def _texts(query: Mapping[str, str], name: str, type: Any) -> dict[str, Any]:
    try:
        return msgspec.json.decode(query.get(name) or "{}", type=type | None) or {}
    except msgspec.MsgspecError as error:
        raise bad(f"{name}: {error}") from error


def _hosts(text: str) -> list[str]:
    found = text.split(",") if text and not text.startswith("[") else msgspec.json.decode(text or "[]")
    if not isinstance(found, list) or not all(isinstance(each, str) and ":" in each for each in found):
        raise bad("extrahosts: expected HOST:IP")
    return found


def registries(header: str) -> dict[str, dict[str, str]]:
    """Credentials by registry, in the agent's words. Raises DockerError."""
    if not header:
        return {}
    try:
        data = base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))
        given = msgspec.json.decode(data, type=dict[str, dict[str, Any]])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise bad(f"{_CONFIG}: it is not JSON in base64") from error
    return {
        references.host(address): {
            key: str(entry[key]) for key in ("username", "password") if isinstance(entry.get(key), str) and entry[key]
        }
        for address, entry in given.items()
    }


_STEP = re.compile(r"(?:\[\d+/\d+\] )?STEP (\d+/\d+): (.*)")


def said(line: str) -> str:
    """A line of the builder's as the classic builder says it."""
    if step := _STEP.fullmatch(line):
        return f"Step {step[1]} : {step[2]}\n"
    return f"{line}\n"


async def build(call: Call) -> web.StreamResponse:
    query = call.request.rel_url.query
    wanted = asked({key: query[key] for key in query}, query.getall("t", []))
    shown = registries(call.request.headers.get(_CONFIG, ""))
    progress = Progress(call, quiet=_true(query, "q"))
    headers = {"Content-Type": "application/x-tar", _ASKED: msgspec.json.encode(wanted).decode()}
    if shown:
        headers[_REGISTRIES] = msgspec.json.encode(shown).decode()
    try:
        async with local_images.exchange(
            call,
            "POST",
            "build",
            body=call.request.content.iter_any(),
            headers=headers,
        ) as pieces:
            async for line in local_images.lines(pieces):
                if "say" in line:
                    await progress.tell({"stream": said(line["say"])})
                    continue
                await _built(call, progress, line)
    except (DockerError, ApiError) as error:
        return await progress.fail(error)
    return await progress.end()


async def _built(call: Call, progress: Progress, line: Json) -> None:
    image = str(line["id"])
    await progress.tell({"aux": {"ID": image}})
    if _true(call.query, "q"):
        await progress.tell({"stream": f"{image}\n"}, always=True)
        return
    await progress.tell({"stream": f"Successfully built {image.removeprefix('sha256:')[:12]}\n"})
    for name in line["names"]:
        call.note("image", "tag", image, name=references.familiar(name))
        await progress.tell({"stream": f"Successfully tagged {references.familiar(name)}\n"})


async def prune(call: Call) -> web.Response:
    """What the builder keeps: images that nothing is called by, or all of them with `all`."""
    filters = call.filters("until", "id", "parent", "type", "description", "inuse", "shared", "private")
    for name in ("id", "parent", "type", "description", "inuse", "shared", "private", "until"):
        if name in filters:
            raise unsupported(f"filters.{name}", "the builder forgets what has no name, or everything with --all")
    for name in ("keep-storage", "reserved-space", "max-used-space", "min-free-space"):
        if call.query.get(name, "0") not in ("", "0"):
            raise unsupported(name, "the builder forgets what has no name, or everything with --all")
    found = await local_images.ask(call, "build/prune", {"all": call.flag("all")})
    return answer({"CachesDeleted": found["ids"] or None, "SpaceReclaimed": found["freed"]})


NO_BUILDKIT = (
    "BuildKit is not supported by Motet: build with the classic builder (DOCKER_BUILDKIT=0 docker build ..., not docker buildx), "
    "or let motet up build"
)


async def no_buildkit(call: Call) -> web.Response:
    raise DockerError(501, NO_BUILDKIT)


ROUTES = (
    Route("POST", "/build", build),
    Route("POST", "/build/prune", prune),
    Route("POST", "/session", no_buildkit),
    Route("POST", "/grpc", no_buildkit),
)
