"""Which services use a secret, a config, a network or a volume: what is used cannot be removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from motet.dialects.docker import objects
from motet.dialects.docker.call import Call
from motet.kinds import app as app_kind
from motet.kinds import attachments
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


class _AppView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: _Spec = _Spec()


def used(app: Document) -> Iterator[tuple[str, str]]:
    """(what, name of the object) of everything an App's pods use."""
    template = app.view(_AppView).spec.template
    for key in attachments.of(template.metadata.annotations, app.namespace):
        yield "network", key.name
    for volume in template.spec.volumes or ():
        for what, (member, name) in _REFERENCES.items():
            if isinstance(volume.get(member), dict):
                yield what, str(volume[member].get(name, ""))


async def of(call: Call, what: str, name: str) -> Sequence[str]:
    """The names of the services that use this object."""
    apps = await call.client.list(app_kind.KIND, call.engine.namespace)
    return sorted(objects.name_of(each.meta) for each in apps if (what, name) in set(used(each)))
