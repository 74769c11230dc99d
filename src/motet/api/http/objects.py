"""The verbs on objects over HTTP: read the request, call the registry, render what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from motet.api import ownership
from motet.api.http import answers, connecting, negotiate, parameters, tables
from motet.api.http.authorize import Attributes, Authorizer, refusal
from motet.api.http.calls import ResourceCall
from motet.api.http.negotiate import Form
from motet.api.http.routes import Target
from motet.api.listing import Page
from motet.api.options import PatchType, RequestOptions
from motet.api.registry import Registry
from motet.base.clock import Clock
from motet.base.errors import BadRequest, NotFound, UnsupportedMediaType
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json, Kind
from motet.store.document import Document

# Subresources that read and write the object itself (or a projection of it).
PROJECTIONS = frozenset({"", "status", "scale", "finalize"})
# The kinds of bodies POSTed to subresources, as their schema group/version says it: any version of the kind will do.
_BODY_KINDS = {"binding": "Binding", "eviction": "Eviction", "token": "TokenRequest"}


class Objects:
    """Handlers of get, list, create, update, patch, delete and deletecollection."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def size(self, catalogue: Catalogue, target: Target) -> int:
        """How many objects there are of what a path is about."""
        kind = catalogue.by_path(target.group, target.version, target.plural)
        try:
            return len(self._registry.table(kind)) if kind is not None else 0
        except NotFound:
            return 0

    async def get(self, call: ResourceCall) -> web.StreamResponse:
        form = call.form
        query = call.query
        document = await self._registry.get(
            call.kind,
            call.namespace,
            call.target.name,
            call.user,
            resource_version=query.get("resourceVersion", "") if query else "",
            subresource=call.target.subresource,
        )
        return await self._one(call, document, form)

    async def list(self, call: ResourceCall) -> web.StreamResponse:
        form = call.form
        page = await self._registry.list(call.kind, call.namespace, call.user, parameters.of_list(call.query))
        return await self._many(call, page, form)

    async def create(self, call: ResourceCall, authorizer: Authorizer) -> web.StreamResponse:
        """The name of the new object is known only now, so whoever may write just their own is asked about again."""
        form = call.form
        options = _options(call, call.default_manager)
        document = await call.document()
        subresource = call.target.subresource
        if subresource:
            return await self._create_subresource(call, document, options)
        _match_kind(document, call.kind)
        _authorize_name(call, document, authorizer)
        call.notes.name = _name(document)
        created = await self._registry.create(
            call.kind, call.namespace, document, call.user, options, name=call.target.name
        )
        call.notes.name = created.name
        return await self._one(call, created, form, status=201)

    async def _create_subresource(
        self, call: ResourceCall, document: Json, options: RequestOptions
    ) -> web.StreamResponse:
        target = call.target
        expected = _BODY_KINDS.get(target.subresource)
        if expected and document.get("kind") not in (None, "", expected):
            raise BadRequest(
                f"the body is a {document['kind']}; {target.plural}/{target.subresource} takes a {expected}"
            )
        answer = await self._registry.create_subresource(
            call.kind, call.namespace, target.name, target.subresource, document, call.user, options
        )
        return answers.document(answer, status=201)

    async def update(self, call: ResourceCall, authorizer: Authorizer) -> web.StreamResponse:
        """A PUT that would make a new object is asked about as a create too."""
        form = call.form
        options = _options(call, call.default_manager)
        document = await call.document()
        if call.target.subresource != "scale":
            _match_kind(document, call.kind)
        makes = call.kind.create_on_update and not call.target.subresource
        if makes and self._registry.table(call.kind).get(call.target.name, call.namespace) is None:
            _authorize_create(call, call.target.name, authorizer)
        updated, created = await self._registry.update(
            call.kind,
            call.namespace,
            call.target.name,
            document,
            call.user,
            options,
            subresource=call.target.subresource,
        )
        return await self._one(call, updated, form, status=201 if created else 200)

    async def patch(self, call: ResourceCall, authorizer: Authorizer) -> web.StreamResponse:
        """An apply that would make a new object is asked about as a create too."""
        form = call.form
        media = negotiate.media_of(call.request.headers.get("Content-Type", ""))
        try:
            patch_type = PatchType(media)
        except ValueError:
            raise UnsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(kind.value for kind in PatchType)
            ) from None
        applying = patch_type is PatchType.APPLY
        options = _options(call, "" if applying else call.default_manager)
        ownership.check(options, applying=applying, force_given="force" in call.query)
        if applying and self._registry.table(call.kind).get(call.target.name, call.namespace) is None:
            _authorize_create(call, call.target.name, authorizer)
        data = await call.body()
        patch = negotiate.yaml_value(data) if applying else negotiate.json_value(data)
        patched, created = await self._registry.patch(
            call.kind,
            call.namespace,
            call.target.name,
            patch,
            patch_type,
            call.user,
            options,
            subresource=call.target.subresource,
        )
        return await self._one(call, patched, form, status=201 if created else 200)

    async def connecting(self, call: ResourceCall) -> None:
        """Ask admission about exec, attach and the like. Raises Forbidden and what webhooks refuse with."""
        target = call.target
        body = connecting.options(call.kind.kind, target.subresource, call.query)
        call.warnings.extend(
            await self._registry.connecting(call.kind, call.namespace, target.name, target.subresource, body, call.user)
        )

    async def delete(self, call: ResourceCall) -> web.StreamResponse:
        form = call.form
        options = replace(
            parameters.of_delete(call.query, await _delete_body(call)),
            warnings=call.warnings,
            annotations=call.notes.annotations,
        )
        deleted = await self._registry.delete(call.kind, call.namespace, call.target.name, call.user, options)
        # An object whose end somebody else has to bring about (finalizers, grace) is "accepted" upstream too: 200.
        if deleted.document is not None:
            return await self._one(call, deleted.document, form)
        return answers.document(deleted.status or answers.success(_details(call.target)))

    async def deletecollection(self, call: ResourceCall) -> web.StreamResponse:
        form = call.form
        options = replace(
            parameters.of_delete(call.query, await _delete_body(call)),
            warnings=call.warnings,
            annotations=call.notes.annotations,
        )
        page = await self._registry.delete_collection(
            call.kind, call.namespace, call.user, options, parameters.of_list(call.query)
        )
        return await self._many(call, page, form)

    async def _one(
        self, call: ResourceCall, document: Document, form: Form, *, status: int = 200
    ) -> web.StreamResponse:
        match form.shape:
            case "object":
                data = document.raw
            case "metadata":
                data = tables.metadata_only(document, form.version)
            case "table":
                shown = tables.include(call.query.get("includeObject", ""))
                data = tables.of_document(
                    call.kind, document, shown, form.version, self._clock.now(), call.target.subresource
                )
        return await _written(call, data, form, status)

    async def _many(self, call: ResourceCall, page: Page, form: Form) -> web.StreamResponse:
        match form.shape:
            case "object":
                data = b"".join(page.chunks(call.kind))
            case "metadata":
                items = b",".join([tables.metadata_only(document, form.version) for document in page.documents])
                data = (
                    b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,"items":[%b]}'
                    % (
                        form.version.encode(),
                        answers.encode(page.metadata()),
                        items,
                    )
                )
            case "table":
                shown = tables.include(call.query.get("includeObject", ""))
                data = await tables.of_page(call.kind, page, shown, form.version, self._clock.now())
        return await _written(call, data, form, 200)


def _options(call: ResourceCall, manager: str) -> RequestOptions:
    """Of a write; what is to be told goes out with the answer, whatever that is."""
    options = parameters.of_write(call.query, manager)
    return replace(options, warnings=call.warnings, annotations=call.notes.annotations)


async def _written(call: ResourceCall, data: bytes, form: Form, status: int) -> web.StreamResponse:
    """The answer in its final bytes: YAML or JSON, indented when asked, compressed when that pays."""
    if form.media == answers.YAML:
        data = answers.as_yaml(data)
    elif call.request.rel_url.raw_query_string and parameters.flag(call.query, "pretty"):
        data = answers.prettier(data)
    headers: dict[str, str] | None = None
    if len(data) >= answers.GZIP_ABOVE and "gzip" in call.request.headers.get("Accept-Encoding", ""):
        data = await answers.compressed(data)
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return answers.body(data, status=status, content_type=form.content_type, headers=headers)


def _authorize_name(call: ResourceCall, document: Json, authorizer: Authorizer) -> None:
    if name := _name(document):
        _authorize_create(call, name, authorizer)


def _name(document: Json) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _authorize_create(call: ResourceCall, name: str, authorizer: Authorizer) -> None:
    target = call.target
    asked = Attributes("create", target.group, target.plural, namespace=call.namespace, name=name)
    decision = authorizer.decide(call.user, asked)
    if not decision.allowed:
        raise refusal(call.user, asked, decision.reason)


def _match_kind(document: Json, kind: Kind) -> None:
    """Fill in what the URL says already; refuse a document that says otherwise. Raises BadRequest."""
    version = document.get("apiVersion") or kind.api_version
    name = document.get("kind") or kind.kind
    if version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if name != kind.kind:
        raise BadRequest(
            f'{name} in version "{version}" cannot be handled as a {kind.kind}: the URL is that of {kind.plural}'
        )
    document["apiVersion"], document["kind"] = version, name


async def _delete_body(call: ResourceCall) -> Mapping[str, Any] | None:
    """DeleteOptions, or None for an empty body."""
    # Not `can_read_body`: what was read already, to decide whether a node may, cannot be read but is known.
    data = await call.body()
    if not data:
        return None
    return negotiate.document(data, call.request.headers.get("Content-Type", ""))


def _details(target: Target) -> dict[str, str]:
    return {
        key: value
        for key, value in {"name": target.name, "group": target.group, "kind": target.plural}.items()
        if value
    }
