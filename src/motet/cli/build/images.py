"""The images of a project's services that have a `build:`: built, and put into the node under a name that says their content.

The tag is the image's own id, so a changed image is a changed service and an unchanged one changes nothing.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from motet.base.errors import MotetError
from motet.cli.compose.model import Build, Project, Service
from motet.runtime.buildah import Buildah, BuildFailed
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import RuntimeFailure

Progress = Callable[[str, str], None]

_STEP = re.compile(r"(STEP \d+/\d+): (.*)")


async def build_images(project: Project, builder: Path, socket: Path, progress: Progress) -> dict[str, str]:
    """Build what has a `build:` and import it into the containerd at `socket`; returns service name -> image reference.

    `builder` is the directory of the builder's storage. `progress(service, what)` is told of every step. Raises MotetError.
    """
    wanted = [service for service in project.services if service.build is not None]
    if not wanted:
        return {}
    buildah = Buildah(builder)
    runtime = CriRuntime(socket)
    try:
        return {service.name: await _one(project, service, buildah, runtime, progress) for service in wanted}
    finally:
        await runtime.close()


async def _one(project: Project, service: Service, buildah: Buildah, runtime: CriRuntime, progress: Progress) -> str:
    assert service.build is not None
    held = {item.name: item.content for item in project.secrets}
    secrets = {called: held[name] for called, name in service.build.secrets}
    name = f"localhost/{project.name}/{service.name.lower()}"
    image = await _built(service, service.build, f"{name}:latest", buildah, secrets, progress)
    reference = f"{name}:{image[:12]}"
    try:
        if await runtime.image(reference) is None:
            progress(service.name, "importing the image")
            async with buildah.archive(image, reference) as archive:
                await runtime.import_image(str(archive))
        for tag in service.build.tags:
            async with buildah.archive(image, tag) as archive:
                await runtime.import_image(str(archive))
    except RuntimeFailure as error:
        raise MotetError(f"service {service.name}: its image cannot be put into the node: {error}") from error
    return reference


async def _built(
    service: Service, build: Build, tag: str, buildah: Buildah, secrets: Mapping[str, bytes], progress: Progress
) -> str:
    progress(service.name, "building")

    def say(line: str) -> None:
        if match := _STEP.match(line):
            progress(service.name, f"building, {match[1].lower()}: {match[2][:60]}")

    with _recipe(service, build) as file:
        try:
            chosen = ["--file", str(file), *options(build)]
            given = dict(build.args)
            return await buildah.build(build.context, tag, say, options=chosen, secrets=secrets, arguments=given)
        except BuildFailed as error:
            raise MotetError(f"service {service.name}: {file} cannot be built:\n{error}") from error


def options(build: Build) -> list[str]:
    """What buildah is told of a build, beside the recipe, the arguments, the secrets and the network."""
    found: list[str] = []
    for name, value in build.labels:
        found += ["--label", f"{name}={value}"]
    for name, where in build.contexts:
        found += ["--build-context", f"{name}={where}"]
    for name, address in build.hosts:
        found += ["--add-host", f"{name}:{address}"]
    for reference in build.cache_from:
        found += ["--cache-from", reference]
    for option, value in (("--target", build.target), ("--platform", build.platform)):
        found += [option, value] if value else []
    return [*found, *(["--no-cache"] if build.no_cache else ()), *(["--pull=always"] if build.pull else ())]


@contextlib.contextmanager
def _recipe(service: Service, build: Build) -> Iterator[Path]:
    """The Containerfile; one that is written into the Compose file is a file for as long as the block lasts."""
    if build.inline:
        with tempfile.NamedTemporaryFile("w", prefix="Containerfile.", encoding="utf-8") as file:
            file.write(build.inline)
            file.flush()
            yield Path(file.name)
        return
    found = build.context / (build.dockerfile or _file_of(service, build))
    if not found.is_file():
        raise MotetError(
            f"service {service.name}: {found} does not exist; `build.dockerfile` names it from the context"
        )
    yield found


def _file_of(service: Service, build: Build) -> str:
    for name in ("Containerfile", "Dockerfile"):
        if (build.context / name).is_file():
            return name
    raise MotetError(f"service {service.name}: there is no Containerfile or Dockerfile in {build.context}")
