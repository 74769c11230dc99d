"""From the tree of a Compose file to the model. Nothing is dropped: a key that is not understood is a problem with its line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from motet.base import names
from motet.cli.compose import files, linked
from motet.cli.compose import service as services
from motet.cli.compose.assemble import assemble, variables_of
from motet.cli.compose.interpolate import fill_in
from motet.cli.compose.model import Project, Service
from motet.cli.compose.networks import declared
from motet.cli.compose.source import Fields, Source, Value
from motet.cli.compose.translate import service_names_of

# Namespaces that every cluster has.
_RESERVED = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
# The profile that stands for all of them.
_EVERY = "*"


def read(
    file: Path | Sequence[Path],
    environment: Mapping[str, str] | None = None,
    *,
    project: str = "",
    profiles: Sequence[str] = (),
    env_files: Sequence[Path] = (),
) -> Project:
    """Read a Compose file, or several laid over each other. Raises ComposeError.

    Variables come from `environment`, and behind it from `env_files` or the `.env` beside the first file; paths start
    from the folder of that one. `profiles` are those whose services are wanted, beside those of COMPOSE_PROFILES.
    """
    given = (file,) if isinstance(file, Path) else tuple(file)
    first = given[0]
    variables = variables_of(first.parent, os.environ if environment is None else environment, env_files)
    source, root = assemble(given, first.parent, variables)
    fields = Fields(source, root)
    if fields.has("apiVersion") and fields.has("kind"):
        source.problem(root, f"this is a Kubernetes manifest and no Compose file; use: kubectl apply -f {first}")
        source.check()
    fields.get("version")
    name = _project_name(fields, first, project, variables)
    wanted = {*profiles, *filter(None, variables.get("COMPOSE_PROFILES", "").split(","))}
    awake, asleep = _awake(fields, wanted)
    found = Project(
        name,
        first,
        linked.resolve(source, fields, [services.read(source, key, value) for key, value in awake.items()]),
        tuple(files.volumes(fields)),
        tuple(declared(fields, name)),
        tuple(files.contents(fields, "secrets")),
        tuple(files.contents(fields, "configs")),
        tuple(asleep),
    )
    if not awake and not source.problems:
        source.problem(root, _nothing(asleep))
    fields.finish()
    _references(source, fields, found)
    source.check()
    return found


def _nothing(asleep: Sequence[str]) -> str:
    if asleep:
        return f"every service has a profile that is not asked for; use --profile: {', '.join(asleep)}"
    return "expected a map `services` with at least one service"


def _awake(fields: Fields, profiles: set[str]) -> tuple[dict[str, Value], list[str]]:
    """Services that are wanted, and the names of those whose profiles are not.

    A dependency that need not be there is left out where it is not.
    """
    every = dict(fields.each("services"))
    asleep = [
        name
        for name, value in every.items()
        if (own := _profiles(fields.source, value)) and _EVERY not in profiles and not own & profiles
    ]
    awake = {name: value for name, value in every.items() if name not in asleep}
    return {name: _needing(value, {*awake}) for name, value in awake.items()}, asleep


def _profiles(source: Source, service: Value) -> set[str]:
    return set(Fields(source, service).texts("profiles")) if service.is_map else set()


def _needing(service: Value, there: set[str]) -> Value:
    needs = service.content.get("depends_on") if isinstance(service.content, dict) else None
    if needs is None or not isinstance(needs.content, dict):
        return service
    kept = {name: value for name, value in needs.content.items() if name in there or not _optional(value)}
    assert isinstance(service.content, dict)
    return replace(service, content={**service.content, "depends_on": replace(needs, content=kept)})


def _optional(dependency: Value) -> bool:
    required = dependency.content.get("required") if isinstance(dependency.content, dict) else None
    return required is not None and required.content in ("false", "no", "off")


def project_name(file: Path, environment: Mapping[str, str] | None = None) -> str:
    """The project's name alone, whatever else may be wrong with the file. Raises ComposeError when it cannot be read at all."""
    variables = variables_of(file.parent, os.environ if environment is None else environment)
    _, root = _leniently(file, variables)
    source = Source(str(file))
    name = _project_name(Fields(source, root), file, "", variables)
    source.check()
    return name


def service_names(file: Path) -> list[str]:
    """The names of the services alone. Raises ComposeError when the file cannot be read at all."""
    source, root = _leniently(file, {})
    return [name for name, _ in Fields(source, root).each("services")]


def _leniently(file: Path, variables: Mapping[str, str]) -> tuple[Source, Value]:
    """The tree of a file, with broken variables left as they are."""

    def leave_broken(value: str, known: Mapping[str, str]) -> str:
        try:
            return fill_in(value, known)
        except ValueError:
            return value

    return assemble((file,), file.parent, variables, leave_broken)


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


def _references(source: Source, fields: Fields, project: Project) -> None:
    """Whatever a service names must be in the file."""
    known = {service.name for service in project.services}
    declared = {
        "secrets": {item.name for item in project.secrets},
        "configs": {item.name for item in project.configs},
        "volumes": {volume.key for volume in project.volumes},
        "networks": {network.key for network in project.networks},
    }
    at = dict(fields.each("services"))
    for service in project.services:
        place = at[service.name]
        for other, _ in service.depends_on:
            if other in project.asleep:
                why = f"{other!r} has a profile that is not asked for; use --profile, or write `required: false`"
                source.problem(_below(place, "depends_on"), why)
            elif other not in known:
                source.problem(_below(place, "depends_on"), f"there is no service {other!r}")
        used = {
            "secrets": {item.source for item in service.secrets} | _built_with(service),
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


def _built_with(service: Service) -> set[str]:
    return set() if service.build is None else {name for _, name in service.build.secrets}


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
