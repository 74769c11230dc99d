"""Having a container's image on the node: names, pull policies and pull secrets.

Back-off is the caller's (`Records.failures`); concurrent wishes for one image share one pull.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from motet.pods.sources import Sources
from motet.pods.spec import ContainerSpec, Pod
from motet.runtime.interface import Image, ImageNotFound, Runtime, RuntimeFailure
from motet.runtime.references import normalise

_HUB = "docker.io"
# Pulls at a time: more only makes each slower.
_AT_ONCE = 3

Say = Callable[[str, str, str], None]
"""(Normal or Warning, reason, message)."""


def policy(container: ContainerSpec) -> str:
    """Always, IfNotPresent or Never; unset means Always for `:latest`."""
    if container.image_pull_policy:
        return container.image_pull_policy
    reference = normalise(container.image)
    return "Always" if "@" not in reference and reference.endswith(":latest") else "IfNotPresent"


class Images:
    """The node's images, shared by all its pods."""

    def __init__(self, runtime: Runtime, sources: Sources) -> None:
        self._runtime = runtime
        self._sources = sources
        self._pulls = asyncio.Semaphore(_AT_ONCE)
        self._pulling: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def ensure(
        self, pod: Pod, container: ContainerSpec, say: Say, *, pulling: Callable[[], None] = lambda: None
    ) -> str:
        """The reference to make the container from; `pulling` is called before anything is fetched.

        Raises RuntimeFailure with the waiting reason upstream gives.
        """
        if not container.image.strip():
            raise RuntimeFailure("the container names no image", "InvalidImageName")
        reference = normalise(container.image)
        wanted = policy(container)
        present = await self._runtime.image(reference)
        if present is not None and wanted != "Always":
            say("Normal", "Pulled", f'Container image "{container.image}" already present on machine')
            return reference
        if wanted == "Never":
            message = f'Container image "{container.image}" is not present with pull policy of Never'
            say("Warning", "ErrImageNeverPull", message)
            raise RuntimeFailure(message, "ErrImageNeverPull")
        pulling()
        await self._pull(pod, container, reference, say)
        return reference

    async def present(self, reference: str) -> Image | None:
        return await self._runtime.image(reference)

    async def _pull(self, pod: Pod, container: ContainerSpec, reference: str, say: Say) -> None:
        say("Normal", "Pulling", f'Pulling image "{container.image}"')
        auths = await self._credentials(pod, reference)
        failure: RuntimeFailure | None = None
        for auth in auths:
            try:
                await self._shared_pull(reference, auth)
            except RuntimeFailure as refused:
                failure = refused
                continue
            say("Normal", "Pulled", f'Successfully pulled image "{container.image}"')
            return
        message = f'failed to pull image "{container.image}": {failure}'
        say("Warning", "Failed", f'Failed to pull image "{container.image}": {failure}')
        say("Warning", "Failed", "Error: ErrImagePull")
        raise ImageNotFound(message, "ErrImagePull")

    async def _shared_pull(self, reference: str, auth: dict[str, str] | None) -> str:
        key = (reference, str(auth))
        task = self._pulling.get(key)
        if task is None:
            task = self._pulling[key] = asyncio.create_task(self._pull_once(reference, auth))
            task.add_done_callback(lambda _: self._pulling.pop(key, None))
        return await asyncio.shield(task)

    async def _pull_once(self, reference: str, auth: dict[str, str] | None) -> str:
        async with self._pulls:
            return await self._runtime.pull(reference, auth)

    async def _credentials(self, pod: Pod, reference: str) -> list[dict[str, str] | None]:
        """What to try, in order: every matching pull secret, or nothing at all."""
        found: list[dict[str, str] | None] = []
        for secret in pod.spec.image_pull_secrets or ():
            data = await self._sources.secret(pod.metadata.namespace, secret.name)
            if data is not None:
                auth = credentials_for(reference, data)
                if auth is not None:
                    found.append(auth)
        return found or [None]


def credentials_for(reference: str, secret: Mapping[str, bytes]) -> dict[str, str] | None:
    """The entry for this image's registry in a dockerconfigjson (or dockercfg) secret; the most specific one wins."""
    try:
        if ".dockerconfigjson" in secret:
            entries = msgspec.json.decode(secret[".dockerconfigjson"]).get("auths", {})
        elif ".dockercfg" in secret:
            entries = msgspec.json.decode(secret[".dockercfg"])
        else:
            return None
    except (msgspec.DecodeError, AttributeError):
        return None
    named = {_host(key): entry for key, entry in entries.items() if isinstance(entry, dict)}
    for key in sorted(named, key=len, reverse=True):
        if _covers(key, reference):
            return _auth(named[key])
    return None


def _covers(key: str, reference: str) -> bool:
    """Whether an entry is for this image. `*` in its host stands for part of a name between two dots."""
    host, _, path = key.partition("/")
    its_host, _, its_path = reference.partition("/")
    parts, its_parts = host.split("."), its_host.split(".")
    same = len(parts) == len(its_parts) and all(map(fnmatchcase, its_parts, parts))
    return same and (not path or its_path == path or its_path.startswith(f"{path}/"))


def _host(key: str) -> str:
    """An entry's key as the start of a reference: `https://index.docker.io/v1/` is docker.io."""
    host = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        host = host.removesuffix(version)
    return _HUB + host.removeprefix("index.docker.io") if host.startswith("index.docker.io") else host


def _auth(entry: Mapping[str, Any]) -> dict[str, str]:
    auth = {key: str(entry[key]) for key in ("username", "password") if entry.get(key)}
    if entry.get("identitytoken"):
        auth["identity_token"] = str(entry["identitytoken"])
    if "username" not in auth and entry.get("auth"):
        decoded = base64.b64decode(str(entry["auth"])).decode(errors="replace")
        auth["username"], _, auth["password"] = decoded.partition(":")
    return auth
