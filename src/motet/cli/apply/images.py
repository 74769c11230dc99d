"""Images that a project names and the node does not have yet: fetched before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from motet.base.errors import MotetError
from motet.cli.compose.model import Project
from motet.runtime.cri import CriRuntime
from motet.runtime.interface import ImageNotFound, Runtime, RuntimeFailure, RuntimeUnavailable

Progress = Callable[[str, str], None]


async def fetch(project: Project, socket: Path, progress: Progress) -> None:
    """Pull what is missing. `progress(service, what happens)`. Raises MotetError naming image, reason and next step."""
    runtime = CriRuntime(socket)
    try:
        await pull_missing(project, runtime, progress)
    finally:
        await runtime.close()


async def pull_missing(project: Project, runtime: Runtime, progress: Progress) -> None:
    """`fetch` with a runtime in hand. Every image is tried, so that all that is wrong is told at once."""
    problems: list[str] = []
    users: dict[str, list[str]] = {}
    for service in project.services:
        if service.build is None:
            users.setdefault(service.image, []).append(service.name)
    policies = {service.name: service.pull for service in project.services}
    for reference, names in users.items():
        wanted = {policies[name] for name in names}
        try:
            if await runtime.image(reference) is not None:
                if "always" not in wanted:
                    continue
            elif wanted == {"never"}:
                problems.append(_absent(project, names[0], reference))
                continue
            for name in names:
                progress(name, f"pulling {reference}")
            await runtime.pull(reference)
        except RuntimeUnavailable as error:
            raise MotetError(f"the node's containerd does not answer ({error}); see: motet status") from error
        except RuntimeFailure as error:
            problems.append(_problem(project, names[0], reference, error))
    if problems:
        raise MotetError("\n".join(problems))


def _place(project: Project, service: str) -> str:
    line = next(item.line for item in project.services if item.name == service)
    return f"{project.file}:{line}: services.{service}.image"


def _absent(project: Project, service: str, reference: str) -> str:
    step = "bring it with `motet image import FILE.tar`, or write another `pull_policy`"
    return f"{_place(project, service)}: the node does not have {reference}, and may not pull it\n  next: {step}"


def _problem(project: Project, service: str, reference: str, error: RuntimeFailure) -> str:
    where = _place(project, service)
    if isinstance(error, ImageNotFound):
        step = "check the name and the tag, or log in to the registry"
    elif error.reason == "InvalidImageName":
        step = "write it as [REGISTRY/]NAME[:TAG]"
    else:
        step = "check the network, bring the image by hand with `motet image import FILE.tar`, or let Motet make it with `build:`"
    return f"{where}: {error}\n  next: {step}"
