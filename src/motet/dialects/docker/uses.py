"""Which services and containers use a secret, a config, a network or a volume: what is used cannot be removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from motet.base import selectors
from motet.dialects.docker import objects
from motet.dialects.docker.call import Call
from motet.dialects.docker.containers import known
from motet.kinds import app as app_kind
from motet.kinds import attachments
from motet.kinds import podtemplate as template_kind
from motet.store.document import Document, Meta

Json = dict[str, Any]

_REFERENCES = {
    "secret": ("secret", "secretName"),
    "config": ("configMap", "name"),
    "volume": ("persistentVolumeClaim", "claimName"),
}


class _PodSpec(msgspec.Struct, gc=False, frozen=True):
    volumes: tuple[dict[str, Any], ...] | None = None


class _Template(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta = Meta()
    spec: _PodSpec = _PodSpec()


class _Spec(msgspec.Struct, gc=False, frozen=True):
    template: _Template = _Template()


class _ContainerView(msgspec.Struct, gc=False, frozen=True):
    template: _Template = _Template()


class _AppView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()


def used(app: Document) -> Iterator[tuple[str, str]]:
    """(what, name of the object) of everything an App's pods use."""
    return _used(app.view(_AppView).spec.template, app.namespace)


def _used(template: _Template, namespace: str) -> Iterator[tuple[str, str]]:
    for key in attachments.of(template.metadata.annotations, namespace):
        yield "network", key.name
    for volume in template.spec.volumes or ():
        for what, (member, name) in _REFERENCES.items():
            if isinstance(volume.get(member), dict):
                yield what, str(volume[member].get(name, ""))


class User(NamedTuple):
    """A service or container, by its name in Docker."""

    sort: str
    name: str

    def __str__(self) -> str:
        return f"{self.sort} {self.name}"


def used_by_container(template: Document) -> Iterator[tuple[str, str]]:
    """The same of everything a container's runs use."""
    return _used(template.view(_ContainerView).template, template.namespace)


async def of(call: Call, what: str, name: str) -> Sequence[User]:
    """Who uses this object: services, and containers whether they run or not."""
    namespace = call.engine.namespace
    apps = await call.client.list(app_kind.KIND, namespace)
    templates = await call.client.list(template_kind.KIND, namespace, labels=selectors.parse(known.LABEL))
    found = [User("service", objects.name_of(each.meta)) for each in apps if (what, name) in set(used(each))]
    found += [
        User("container", objects.name_of(each.meta))
        for each in templates
        if (what, name) in set(used_by_container(each))
    ]
    return sorted(found, key=lambda user: (user.sort != "service", user.name))
