"""Turning custom resources from one version into another ("Versions in CustomResourceDefinitions").

Without a webhook only the `apiVersion` changes. A webhook is sent whole documents and may change everything but their
identity: of the metadata, only labels and annotations are taken from its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from motet.api import meta
from motet.api.webhooks.client import Address, WebhookClient, WebhookFailure
from motet.base.errors import InternalError
from motet.kinds.custom.spec import REVIEW_VERSIONS
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, strings, text

# Upstream waits as long for the whole request.
_SECONDS = 30.0
_MAY_CHANGE = ("labels", "annotations")


class Converter(Protocol):
    """From the version a document is in to another one of the same resource."""

    @property
    def waits(self) -> bool:
        """Whether somebody has to be asked."""
        ...

    def rename(self, document: Json, api_version: str) -> Json:
        """For converters that do not wait: the document in another version, which may be the same object."""
        ...

    async def convert(self, documents: Sequence[Json], api_version: str) -> Sequence[Json]:
        """All of them in `api_version`, in the same order. Raises InternalError."""
        ...


class Renaming:
    """All versions have the same fields."""

    waits = False

    def rename(self, document: Json, api_version: str) -> Json:
        return document if document.get("apiVersion") == api_version else {**document, "apiVersion": api_version}

    async def convert(self, documents: Sequence[Json], api_version: str) -> Sequence[Json]:
        return [self.rename(document, api_version) for document in documents]


class Asking:
    """A webhook converts. `webhook` is the `spec.conversion.webhook` of the definition."""

    waits = True

    def __init__(self, client: WebhookClient, webhook: Json, kind: str) -> None:
        self._client = client
        self._address = Address.of(mapping(webhook, "clientConfig"))
        known = strings(webhook, "conversionReviewVersions")
        self._version = next((version for version in known if version in REVIEW_VERSIONS), REVIEW_VERSIONS[0])
        self._kind = kind

    def rename(self, document: Json, api_version: str) -> Json:
        raise AssertionError("a webhook cannot be asked in passing")

    async def convert(self, documents: Sequence[Json], api_version: str) -> Sequence[Json]:
        sent = [document for document in documents if document.get("apiVersion") != api_version]
        if not sent:
            return documents
        asked = review(self._version, meta.new_uid(), sent, api_version)
        try:
            answer = await self._client.post(self._address, msgspec.json.encode(asked), _SECONDS)
            converted = iter(read(asked, answer))
        except WebhookFailure as error:
            what = f"{sent[0].get('apiVersion')}, Kind={self._kind}"
            raise InternalError(f"conversion webhook for {what} failed: {error}") from error
        return [document if document.get("apiVersion") == api_version else next(converted) for document in documents]


def review(version: str, uid: str, documents: Sequence[Json], api_version: str) -> Json:
    """The question."""
    return {
        "kind": "ConversionReview",
        "apiVersion": f"apiextensions.k8s.io/{version}",
        "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(documents)},
    }


def read(asked: Json, answer: bytes) -> list[Json]:
    """The documents in the answer. Raises WebhookFailure for one that does not fit the question."""
    try:
        document = msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise WebhookFailure(f"the answer is not JSON: {error}") from error
    response = document.get("response") if isinstance(document, dict) else None
    if not isinstance(response, dict):
        raise WebhookFailure("no response provided")
    if asked["apiVersion"].endswith("/v1"):
        _same_question(asked, document, response)
    result = mapping(response, "result")
    if text(result, "status") != "Success":
        said = text(result, "message")
        raise WebhookFailure(said or f"response.result.status was '{text(result, 'status')}', not 'Success'")
    found = response.get("convertedObjects") or []
    request = asked["request"]
    if len(found) != len(request["objects"]):
        raise WebhookFailure(f"returned {len(found)} objects, expected {len(request['objects'])}")
    return [
        _checked(index, before, after, request["desiredAPIVersion"])
        for index, (before, after) in enumerate(zip(request["objects"], found, strict=True))
    ]


def _same_question(asked: Json, document: Json, response: Json) -> None:
    kind = f"{document.get('apiVersion')}, Kind={document.get('kind')}"
    wanted = f"{asked['apiVersion']}, Kind={asked['kind']}"
    if kind != wanted:
        raise WebhookFailure(f"expected webhook response of {wanted}, got {kind}")
    uid, given = asked["request"]["uid"], response.get("uid")
    if given != uid:
        raise WebhookFailure(f'expected response.uid="{uid}", got "{given or ""}"')


def _checked(index: int, before: Json, after: Any, api_version: str) -> Json:
    """The converted document with its identity as it was."""
    where = f"returned invalid converted object at index {index}"
    if not isinstance(after, dict) or not isinstance(after.get("metadata"), dict):
        raise WebhookFailure(f"{where}: missing metadata")
    if after.get("apiVersion") != api_version:
        got = after.get("apiVersion")
        raise WebhookFailure(f"{where}: invalid groupVersion (expected {api_version}, received {got})")
    if after.get("kind") != before.get("kind"):
        raise WebhookFailure(f"{where}: invalid kind (expected {before.get('kind')}, received {after.get('kind')})")
    metadata = after["metadata"]
    for name in ("name", "namespace", "uid"):
        if metadata.get(name) != before["metadata"].get(name):
            was, now = before["metadata"].get(name), metadata.get(name)
            raise WebhookFailure(f"{where}: invalid metadata.{name}: expected {was!r}, received {now!r}")
    restored = {name: value for name, value in before["metadata"].items() if name not in _MAY_CHANGE}
    kept = {name: metadata[name] for name in _MAY_CHANGE if metadata.get(name)}
    return {**after, "metadata": {**restored, **kept}}
