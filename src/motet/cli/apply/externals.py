"""What a file names and does not make: secrets and configs of others (`external`), volumes that are there, and nodes.

A pod only sees what is in its own namespace, so the content of an external secret is copied into the project, as it is when
`motet up` runs; run it again after changing the secret.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace

from motet.base.errors import MotetError
from motet.cli.compose.model import FileSource, Project, Service
from motet.cli.compose.translate import PROJECT, object_name
from motet.client.interface import Client
from motet.dialects.docker import constraints, objects
from motet.kinds import configmap, node, persistentvolumeclaim, secret
from motet.kinds.kind import Kind
from motet.store.document import Document

_KINDS = {"secrets": secret.KIND, "configs": configmap.KIND}
# Where somebody puts an object who names no namespace.
_DEFAULT = "default"
_CONTENT = "content"


async def resolve(client: Client, project: Project) -> Project:
    """The project with the contents of others. Raises MotetError with every problem there is."""
    problems = await _missing_volumes(client, project)
    secrets = await _filled(client, project, "secrets", project.secrets, problems)
    configs = await _filled(client, project, "configs", project.configs, problems)
    services = await _placed(client, project, problems)
    if problems:
        raise MotetError("\n".join(problems))
    return replace(project, services=services, secrets=secrets, configs=configs)


async def _placed(client: Client, project: Project, problems: list[str]) -> tuple[Service, ...]:
    """The services, with the names of nodes that the file has by identifiers or addresses."""
    asked = [text for service in project.services for text in service.placement.constraints]
    if not any(map(constraints.about_one, asked)):
        return project.services
    nodes = constraints.names_of(await client.list(node.KIND))
    found = []
    for service in project.services:
        texts = []
        for text in service.placement.constraints:
            try:
                texts.append(constraints.by_name(text, nodes))
            except (ValueError, LookupError) as error:
                where = f"services.{service.name}.deploy.placement.constraints"
                problems.append(f"{project.file}:{service.line}: {where}: {text!r}: {error.args[0]}")
        found.append(replace(service, placement=replace(service.placement, constraints=tuple(texts))))
    return tuple(found)


async def _missing_volumes(client: Client, project: Project) -> list[str]:
    wanted = [volume for volume in project.volumes if volume.external]
    there = {each.name for each in await client.list(persistentvolumeclaim.KIND, project.name)} if wanted else set()
    return [
        f"{project.file}:{volume.line}: volumes.{volume.key}: volume {volume.name} declared as external, but there is no "
        f"PersistentVolumeClaim {object_name(volume.name)} in namespace {project.name}"
        for volume in wanted
        if object_name(volume.name) not in there
    ]


async def _filled(
    client: Client, project: Project, section: str, sources: Sequence[FileSource], problems: list[str]
) -> tuple[FileSource, ...]:
    kind = _KINDS[section]
    there = await client.list(kind) if any(source.external for source in sources) else []
    found = []
    for source in sources:
        try:
            if not source.external:
                found.append(source)
                continue
            meant = _meant(source.title, there, project.name)
            found.append(replace(source, content=_content(meant, kind), template=objects.is_template(meant.meta)))
        except ValueError as error:
            problems.append(f"{project.file}:{source.line}: {section}.{source.name}: {error}")
        except LookupError:
            problems.append(f"{project.file}:{source.line}: {section}.{source.name}: {_unknown(source, kind)}")
    return tuple(found)


def _unknown(source: FileSource, kind: Kind) -> str:
    word, generic = ("secret", " generic") if kind is secret.KIND else ("config", "")
    return (
        f"{word} {source.title} declared as external, but could not be found\n  next: docker {word} create {source.title} "
        f"FILE, or kubectl create {kind.singular}{generic} {source.title} --from-file={_CONTENT}=FILE"
    )


def _meant(title: str, there: Sequence[Document], project: str) -> Document:
    """The project's own namespace first, then Docker's objects, then where kubectl puts what has no namespace.

    What Compose projects made is theirs: a copy is not what is copied from. Raises LookupError.
    """
    others = [each for each in there if PROJECT not in (each.meta.labels or {})]
    found = [each for each in others if each.namespace == project and each.name == title]
    found += [each for each in others if (each.meta.annotations or {}).get(objects.NAME) == title]
    found += [each for each in others if each.namespace == _DEFAULT and each.name == title]
    return found[0]


def _content(document: Document, kind: Kind) -> bytes:
    """The key `content`, or the only one there is. Raises ValueError."""
    decoded = document.decode()
    data: Mapping[str, str] = decoded.get("data") or {}
    held = {key: base64.b64decode(each) if kind is secret.KIND else each.encode() for key, each in data.items()}
    held |= {key: base64.b64decode(value) for key, value in (decoded.get("binaryData") or {}).items()}
    if _CONTENT in held:
        return held[_CONTENT]
    if len(held) != 1:
        raise ValueError(
            f"{document.namespace}/{document.name} has {len(held)} keys and a file is one: name it `{_CONTENT}`"
        )
    return next(iter(held.values()))
