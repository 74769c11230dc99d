"""Secrets and configs: `docker secret|config create|ls|inspect|update|rm`.

One of Docker's is a Secret or ConfigMap whose only member is called `content`. Whoever makes one like that by kubectl has made
one for Docker. A secret's content never leaves through this API, as in Swarm.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import AlreadyExists, Conflict
from motet.dialects.docker import ids, objects, uses
from motet.dialects.docker.call import Call, Voice, answer, empty
from motet.dialects.docker.errors import DockerError, bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.objects import CONTENT, GOLANG, TEMPLATING
from motet.dialects.docker.router import Route
from motet.kinds import configmap as configmap_kind
from motet.kinds import placeholders
from motet.kinds import secret as secret_kind
from motet.kinds.kind import Kind
from motet.store.document import Document

Json = dict[str, Any]

# Docker's own limits, in bytes.
_LARGEST_SECRET = 500 * 1024
_LARGEST_CONFIG = 1000 * 1024


class _Data(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = ""
    data: dict[str, str] | None = None
    binary_data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """Secrets or configs."""

    word: str
    kind: Kind
    largest: int

    @property
    def is_secret(self) -> bool:
        return self.kind is secret_kind.KIND


SECRET = Sort("secret", secret_kind.KIND, _LARGEST_SECRET)
CONFIG = Sort("config", configmap_kind.KIND, _LARGEST_CONFIG)


def is_ours(sort: Sort, document: Document) -> bool:
    """Whether Docker can use it."""
    view = document.view(_Data)
    if sort.is_secret and view.type not in ("", "Opaque"):
        return False
    return [*(view.data or {}), *(view.binary_data or {})] == [CONTENT]


def new_document(sort: Sort, fields: Fields, namespace: str) -> Json:
    """The document of a new one. Raises DockerError."""
    name = fields.text("Name")
    labels = fields.map("Labels")
    fields.refuse("secrets are kept by Motet itself", "Driver")
    templating = fields.fields("Templating")
    driver = templating.text("Name")
    if driver not in ("", GOLANG):
        raise unsupported(templating.at("Name"), f"{driver!r}: there is golang")
    templating.refuse("there are none", "Options")
    templating.finish()
    content = _content(sort, fields)
    if driver and (problem := placeholders.problem(content.decode(errors="replace"), of_file=True)):
        raise bad(f"{templating.at('Name')}: {problem}")
    fields.finish()
    if not name:
        raise bad(f"invalid {sort.word} name: it is needed")
    metadata = objects.metadata(name, labels, namespace, sort.word)
    if driver:
        metadata["annotations"][TEMPLATING] = driver
    made: Json = {
        "apiVersion": "v1",
        "kind": sort.kind.kind,
        "metadata": metadata,
        # Swarm's never change; a new content is a new secret.
        "immutable": True,
    }
    if sort.is_secret:
        made |= {"type": "Opaque", "data": {CONTENT: base64.b64encode(content).decode()}}
    else:
        made["binaryData"] = {CONTENT: base64.b64encode(content).decode()}
        try:
            made |= {"data": {CONTENT: content.decode()}}
            del made["binaryData"]
        except UnicodeDecodeError:
            pass
    return made


def _content(sort: Sort, fields: Fields) -> bytes:
    text = fields.text("Data")
    try:
        # Both alphabets are about: the API says one, clients send the other (RFC 4648, 4 and 5).
        content = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise bad(f"{fields.at('Data')}: it is not base64") from error
    if not content and sort.is_secret:
        raise bad(
            "rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes"
        )
    if len(content) > sort.largest:
        raise bad(f"rpc error: code = InvalidArgument desc = {sort.word} data must be less than {sort.largest} bytes")
    return content


def content_of(document: Document) -> bytes:
    """What it holds."""
    view = document.view(_Data)
    text = (view.data or {}).get(CONTENT)
    if document.key.resource == configmap_kind.KIND.resource and text is not None:
        return text.encode()
    return base64.b64decode(text or (view.binary_data or {}).get(CONTENT, ""))


def translate(sort: Sort, document: Document) -> Json:
    """As Docker shows it; a config with its content."""
    spec: Json = {"Name": objects.name_of(document.meta), "Labels": objects.labels_of(document.meta)}
    if objects.is_template(document.meta):
        spec["Templating"] = {"Name": GOLANG}
    if not sort.is_secret:
        spec["Data"] = base64.b64encode(content_of(document)).decode()
    return {**objects.head(document), "Spec": spec}


async def known(call: Voice, sort: Sort) -> Sequence[Document]:
    found = await call.client.list(sort.kind, call.engine.namespace)
    return [each for each in found if is_ours(sort, each)]


async def find(call: Call, sort: Sort) -> Document:
    found = await known(call, sort)
    return ids.pick(
        sort.word, call.path["id"], ((ids.of_document(each), objects.name_of(each.meta), each) for each in found)
    )


def routes(sort: Sort) -> Sequence[Route]:
    """The same five things to do with either sort."""

    async def ls(call: Call) -> web.Response:
        filters = call.filters("id", "label", "name", "names")
        found = [
            translate(sort, each)
            for each in await known(call, sort)
            if filters.begins("id", ids.of_document(each))
            and filters.contains("name", objects.name_of(each.meta))
            and filters.matches("names", objects.name_of(each.meta))
            and filters.labels(objects.labels_of(each.meta))
        ]
        return answer(found)

    async def create(call: Call) -> web.Response:
        document = new_document(sort, await call.fields(), call.engine.namespace)
        name = document["metadata"]["annotations"].get(objects.NAME) or document["metadata"]["name"]
        try:
            made = await call.client.create(sort.kind, document)
        except AlreadyExists as error:
            raise DockerError(
                409, f"rpc error: code = AlreadyExists desc = {sort.word} {name} already exists"
            ) from error
        return answer({"ID": ids.of_document(made)}, 201)

    async def inspect(call: Call) -> web.Response:
        return answer(translate(sort, await find(call, sort)))

    async def update(call: Call) -> web.Response:
        document = await find(call, sort)
        objects.check_version(call.query, document.revision)
        changed = relabelled(sort, document, await call.fields())
        try:
            await call.client.update(sort.kind, changed)
        except Conflict as error:
            raise DockerError(500, "rpc error: code = Unknown desc = update out of sequence") from error
        return empty()

    async def remove(call: Call) -> web.Response:
        document = await find(call, sort)
        if users := await uses.of(call, sort.word, document.name):
            listed = ", ".join(user.name for user in users)
            raise DockerError(
                400,
                f"rpc error: code = InvalidArgument desc = {sort.word} '{objects.name_of(document.meta)}' is in use by the "
                f"following service{'s' if len(users) > 1 else ''}: {listed}",
            )
        await call.client.delete(sort.kind, document.name, document.namespace, uid=document.meta.uid)
        return empty(204)

    path = f"/{sort.word}s"
    return (
        Route("GET", path, ls),
        Route("POST", f"{path}/create", create),
        Route("GET", f"{path}/{{id}}", inspect),
        Route("POST", f"{path}/{{id}}/update", update),
        Route("DELETE", f"{path}/{{id}}", remove),
    )


def relabelled(sort: Sort, document: Document, fields: Fields) -> Json:
    """With other labels: all that Swarm lets be changed. Raises DockerError."""
    name = fields.text("Name")
    labels = fields.map("Labels")
    # `docker stack deploy` sends the content again, which is fine as long as it is the same.
    other = bool(fields.text("Data")) and _content(sort, fields) != content_of(document)
    # Clients leave out of a change what they do not change.
    templating = fields.fields("Templating").text("Name")
    other |= bool(templating) and (templating != GOLANG or not objects.is_template(document.meta))
    fields.refuse("secrets are kept by Motet itself", "Driver")
    fields.finish()
    if other or (name and name != objects.name_of(document.meta)):
        raise bad("rpc error: code = InvalidArgument desc = only updates to Labels are allowed")
    changed = document.decode()
    objects.annotate(changed["metadata"], objects.name_of(document.meta), labels)
    return changed


ROUTES = (*routes(SECRET), *routes(CONFIG))
