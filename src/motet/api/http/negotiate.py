"""Which form a body has and which form an answer should take (RFC 9110, 12; Kubernetes "Alternate representations").

Answers are JSON (or YAML when that is all a client takes): every known client that prefers protobuf also accepts JSON.
Bodies may be JSON, YAML or protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
import yaml

from motet.api.http.answers import JSON, YAML
from motet.base.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from motet.kinds.schema import protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
Shape = Literal["object", "table", "metadata"]

_SHAPES: dict[str, Shape] = {
    "Table": "table",
    "PartialObjectMetadata": "metadata",
    "PartialObjectMetadataList": "metadata",
}
_decode_json = msgspec.json.Decoder().decode
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an answer: what is shown, in which version of meta.k8s.io, and how it is written."""

    shape: Shape = "object"
    version: str = "v1"
    media: str = JSON

    @property
    def content_type(self) -> str:
        return self.media


@dataclass(frozen=True, slots=True)
class _Clause:
    media: str
    parameters: dict[str, str]
    quality: float


@lru_cache(maxsize=512)
def clauses(accept: str) -> tuple[_Clause, ...]:
    """The parts of an `Accept` header, best first, refused ones (q=0) left out."""
    found = []
    for part in accept.split(","):
        media, *rest = (piece.strip() for piece in part.split(";"))
        parameters = {}
        for piece in rest:
            name, _, value = piece.partition("=")
            parameters[name.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if media and quality > 0:
            found.append(_Clause(media.lower(), parameters, quality))
    return tuple(sorted(found, key=lambda clause: -clause.quality))


_OBJECT_MEDIA = {
    "application/json": JSON,
    "application/*": JSON,
    "*/*": JSON,
    "application/yaml": YAML,
    "application/x-yaml": YAML,
    "text/yaml": YAML,
}


@lru_cache(maxsize=512)
def form(accept: str) -> Form:
    """The best form we can give for this `Accept`. Raises NotAcceptable when there is none."""
    wanted = clauses(accept) if accept else ()
    if not wanted:
        return Form()
    for clause in wanted:
        media = _OBJECT_MEDIA.get(clause.media)
        if media is None:
            continue
        shown = clause.parameters.get("as")
        if shown is None:
            return Form(media=media)
        shape = _SHAPES.get(shown)
        version = clause.parameters.get("v", "v1")
        if shape and media == JSON and clause.parameters.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Form(shape, version)
    raise NotAcceptable(
        "only the following media types are accepted: "
        "application/json, application/yaml, "
        "application/json;as=Table;g=meta.k8s.io;v=v1, application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    )


def media_of(content_type: str) -> str:
    """`application/json` of `application/json; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def document(data: bytes, content_type: str) -> dict[str, Any]:
    """The object in a request's body. Raises UnsupportedMediaType, BadRequest."""
    media = media_of(content_type)
    if media in ("", JSON, "text/json"):
        value = json_value(data)
    elif media in (YAML, "application/x-yaml", "text/yaml"):
        value = yaml_value(data)
    elif media == PROTOBUF:
        value = protobuf.decode(data)
    else:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"application/json, application/yaml, {PROTOBUF}"
        )
    if not isinstance(value, dict):
        raise BadRequest("the object provided is unrecognized (must be of type object)")
    return value


def json_value(data: bytes) -> Any:
    """Decode JSON. Raises BadRequest saying where it is broken."""
    try:
        return _decode_json(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body of the request is not valid JSON: {error}") from error


def yaml_value(data: bytes) -> Any:
    """Decode YAML of one document. Raises BadRequest saying where it is broken."""
    try:
        return _plain(yaml.load(data, Loader=_LOADER))  # noqa: S506 - both candidates are safe loaders
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body of the request is not valid YAML: {error}") from error


def _plain(value: Any) -> Any:
    """YAML knows dates and keys that are not text; documents do not."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else str(value)
