"""AdmissionReview: the question a webhook is asked and what may be in its answer. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import msgspec

from motet.api import meta
from motet.api.admission import Request
from motet.api.deletion import NAMESPACES
from motet.api.options import DeleteOptions
from motet.api.users import User
from motet.api.webhooks.client import WebhookFailure
from motet.base.errors import ApiError, from_status
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, text

# What is sent to, or shown by, a subresource, where that is another kind than the resource's own.
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
    "proxy": ("", "v1", "{}ProxyOptions"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says. `patch` are the operations of a JSON patch."""

    allowed: bool
    refusal: ApiError | None = None
    patch: list[Any] | None = None
    warnings: tuple[str, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)


def question(request: Request, seen: Kind, new: Json | None, old: Json | None, uid: str) -> Json:
    """The `request` of a review: in the face of the resource a webhook asked for, with who really asked for what."""
    # A namespace counts as being in itself.
    namespace = request.name if request.kind.resource == NAMESPACES else request.namespace
    asked: Json = {
        "uid": uid,
        "kind": _gvk(seen, request.subresource),
        "resource": _gvr(seen),
        **({"subResource": request.subresource} if request.subresource else {}),
        "requestKind": _gvk(request.kind, request.subresource),
        "requestResource": _gvr(request.kind),
        **({"requestSubResource": request.subresource} if request.subresource else {}),
        **({"name": request.name} if request.name else {}),
        **({"namespace": namespace} if namespace else {}),
        "operation": request.verb,
        "userInfo": user_info(request.user),
        "object": new,
        "oldObject": old,
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    return asked


def _options(request: Request) -> Json | None:
    options = request.options
    if isinstance(options, DeleteOptions):
        return meta.delete_options(options)
    if options is None or request.verb == "CONNECT":
        return None
    return meta.write_options(request.verb, options)


def review(version: str, asked: Json) -> bytes:
    """The whole question, as it is sent."""
    document = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": asked}
    return msgspec.json.encode(document)


def user_info(user: User) -> Json:
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _gvk(kind: Kind, subresource: str) -> Json:
    group, version, name = _SUBRESOURCE_KINDS.get(subresource, (kind.group, kind.version, kind.kind))
    return {"group": group, "version": version, "kind": name.format(kind.kind)}


def _gvr(kind: Kind) -> Json:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def verdict(hook: str, version: str, uid: str, answer: bytes, *, mutating: bool) -> Verdict:
    """The answer, checked. Raises WebhookFailure for one that does not fit the question."""
    try:
        document = msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise WebhookFailure(f"couldn't get version/kind; json parse error: {error}") from error
    response = document.get("response") if isinstance(document, dict) else None
    if not isinstance(response, dict):
        raise WebhookFailure("webhook response was absent")
    if version == "v1":
        _check_identity(document, response, uid, version)
    patch = _patch(response, version) if response.get("patch") else None
    if patch is not None and not mutating:
        raise WebhookFailure("validating webhook may not have a patch")
    given = response.get("warnings")
    warnings = tuple(map(str, given)) if isinstance(given, list) else ()
    annotations = {f"{hook}/{key}": str(value) for key, value in mapping(response, "auditAnnotations").items()}
    if response.get("allowed") is True:
        return Verdict(True, None, patch, warnings, annotations)
    return Verdict(False, refusal(hook, mapping(response, "status")), None, warnings, annotations)


def _check_identity(document: Json, response: Json, uid: str, version: str) -> None:
    wanted = f"admission.k8s.io/{version}, Kind=AdmissionReview"
    found = f"{document.get('apiVersion') or ''}, Kind={document.get('kind') or ''}"
    if found != wanted:
        raise WebhookFailure(f"expected webhook response of {wanted}, got {found}")
    if response.get("uid") != uid:
        raise WebhookFailure(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')


def _patch(response: Json, version: str) -> list[Any]:
    kind = response.get("patchType")
    if kind is None and version == "v1":
        raise WebhookFailure("webhook returned response.patch but not response.patchType")
    if kind not in (None, "JSONPatch"):
        raise WebhookFailure(f"webhook returned invalid response.patchType of {kind!r}")
    try:
        operations = msgspec.json.decode(base64.b64decode(str(response["patch"]), validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise WebhookFailure(f"webhook returned a patch that cannot be read: {error}") from error
    if not isinstance(operations, list):
        raise WebhookFailure("webhook returned a patch that is not a list of operations")
    return operations


def refusal(hook: str, status: Json) -> ApiError:
    """The error a webhook refuses with: its own code and reason, in upstream's frame."""
    denied = f'admission webhook "{hook}" denied the request'
    said = text(status, "message") or text(status, "reason")
    code = status.get("code")
    given = {**status, "message": f"{denied}: {said}" if said else f"{denied} without explanation"}
    given["code"] = code if isinstance(code, int) and code >= 400 else 400
    return from_status(given)
