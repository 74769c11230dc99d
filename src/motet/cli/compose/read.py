"""From the tree of a Compose file to the model. Nothing is dropped: a key that is not understood is a problem with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from motet.base import names
from motet.cli.compose.interpolate import fill_in, read_env_file
from motet.cli.compose.model import FileSource, Project, Service
from motet.cli.compose.networks import declared
from motet.cli.compose.service import ServiceReader
from motet.cli.compose.source import Fields, Source, Value, load, text
from motet.cli.compose.translate import service_names_of

# Namespaces that every cluster has.
_RESERVED = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})


def read(file: Path, environment: Mapping[str, str] | None = None, *, project: str = "") -> Project:
    """Read a Compose file, with variables from `environment` and the `.env` beside the file. Raises ComposeError."""
    variables = _variables(file, os.environ if environment is None else environment)
    source, root = load(file, lambda value: fill_in(value, variables))
    fields = Fields(source, root)
    if fields.has("apiVersion") and fields.has("kind"):
        source.problem(root, f"this is a Kubernetes manifest and no Compose file; use: kubectl apply -f {file}")
        source.check()
    fields.get("version")
    name = _project_name(fields, file, project, variables)
    volumes = tuple(_volume(source, key, value) for key, value in fields.each("volumes"))
    networks = tuple(declared(fields, name))
    secrets = tuple(_file_sources(fields, "secrets", file.parent, variables))
    configs = tuple(_file_sources(fields, "configs", file.parent, variables))
    reader = ServiceReader(source, file.parent, variables)
    services = tuple(reader.service(key, value) for key, value in fields.each("services"))
    if not services and not source.problems:
        source.problem(root, "expected a map `services` with at least one service")
    fields.finish()
    found = Project(name, file, services, volumes, networks, secrets, configs)
    _references(source, fields, found)
    source.check()
    return found


def _variables(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    beside = file.parent / ".env"
    try:
        return {**(read_env_file(beside) if beside.is_file() else {}), **environment}
    except (OSError, ValueError) as error:
        source = Source(str(beside))
        source.problem(Value("", 1, None), str(error))
        source.check()
        raise


def project_name(file: Path, environment: Mapping[str, str] | None = None) -> str:
    """The project's name alone, whatever else may be wrong with the file. Raises ComposeError when it cannot be read at all."""
    variables = _variables(file, os.environ if environment is None else environment)
    source, root = _leniently(file, variables)
    name = _project_name(Fields(source, root), file, "", variables)
    source.check()
    return name


def service_names(file: Path) -> list[str]:
    """The names of the services alone. Raises ComposeError when the file cannot be read at all."""
    source, root = _leniently(file, {})
    return [name for name, _ in Fields(source, root).each("services")]


def _leniently(file: Path, variables: Mapping[str, str]) -> tuple[Source, Value]:
    """The tree of a file, with broken variables left as they are."""

    def leave_broken(value: str) -> str:
        try:
            return fill_in(value, variables)
        except ValueError:
            return value

    return load(file, leave_broken)


def _project_name(fields: Fields, file: Path, given: str, variables: Mapping[str, str]) -> str:
    wanted = given or fields.text("name") or variables.get("COMPOSE_PROJECT_NAME", "")
    fields.get("name")
    name = wanted or re.sub(r"[^a-z0-9-]", "", file.absolute().parent.name.lower()).strip("-") or "default-app"
    if problem := names.label_error(name):
        fields.source.problem(fields.items.get("name", fields.at), f"the project name {name!r}: {problem}")
    elif name in _RESERVED:
        fields.source.problem(
            fields.items.get("name", fields.at), f"the name {name!r} belongs to the cluster; choose another one with -p"
        )
    return name


def _volume(source: Source, name: str, at: Value) -> str:
    if problem := names.label_error(name.replace("_", "-").lower()):
        source.problem(at, f"the volume name {name!r}: {problem}")
    if at.content is not None:
        fields = Fields(source, at)
        fields.choice("driver", ("local",), "local")
        fields.get("labels")
        fields.finish()
    return name


def _file_sources(fields: Fields, key: str, folder: Path, variables: Mapping[str, str]) -> Iterator[FileSource]:
    for name, value in fields.each(key):
        item = Fields(fields.source, value)
        content = _content(item, folder, variables)
        item.finish()
        if content is None:
            item.source.problem(item.at, "expected one of `file`, `environment` or `content`")
        else:
            yield FileSource(name, content)


def _content(item: Fields, folder: Path, variables: Mapping[str, str]) -> bytes | None:
    if (file := item.get("file")) is not None:
        path = folder / Path(text(item.source, file)).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            item.source.problem(file, f"{path} cannot be read: {error.strerror}")
            return b""
    if (variable := item.get("environment")) is not None:
        name = text(item.source, variable)
        if name not in variables:
            item.source.problem(variable, f"the variable {name} is not set")
        return variables.get(name, "").encode()
    if (content := item.get("content")) is not None:
        return text(item.source, content).encode()
    return None


def _references(source: Source, fields: Fields, project: Project) -> None:
    """Whatever a service names must be in the file."""
    known = {service.name for service in project.services}
    declared = {
        "secrets": {item.name for item in project.secrets},
        "configs": {item.name for item in project.configs},
        "volumes": set(project.volumes),
        "networks": {network.key for network in project.networks},
    }
    at = dict(fields.each("services"))
    for service in project.services:
        place = at[service.name]
        for other, _ in service.depends_on:
            if other not in known:
                source.problem(_below(place, "depends_on"), f"there is no service {other!r}")
        used = {
            "secrets": {item.source for item in service.secrets},
            "configs": {item.source for item in service.configs},
            "volumes": {mount.source for mount in service.mounts if mount.kind == "volume" and mount.source},
            "networks": {each.network for each in service.networks},
        }
        for key, sources in used.items():
            for missing in sorted(sources - declared[key]):
                source.problem(_below(place, key), f"{missing!r} is not declared; add it to the top-level `{key}`")
        for name in _taken(project, service):
            source.problem(place, f"the name {name!r} belongs to another service already")
    if cycle := _cycle({service.name: [other for other, _ in service.depends_on] for service in project.services}):
        source.problem(_below(at[cycle[0]], "depends_on"), f"services wait for each other: {' -> '.join(cycle)}")


def _taken(project: Project, service: Service) -> Iterator[str]:
    """Names of one service that an earlier one goes by, too: in the cluster they would be one."""
    earlier = project.services[: project.services.index(service)]
    known = {name for other in earlier for name in service_names_of(other)}
    yield from (name for name in service_names_of(service) if name in known)


def _below(at: Value, key: str) -> Value:
    return at.content.get(key, at) if isinstance(at.content, dict) else at


def _cycle(edges: Mapping[str, list[str]]) -> list[str]:
    """A circle of dependencies, or nothing."""
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for other in edges.get(name, ()):
            if found := visit(other, [*trail, name]):
                return found
        done.add(name)
        return []

    return next((found for name in edges if (found := visit(name, []))), [])
