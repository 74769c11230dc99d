"""CertificateSigningRequests: somebody asks for a certificate, somebody else approves or denies, a signer signs.

What was asked never changes. `approval` takes conditions, `status` the certificate and further conditions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required, unsupported
from motet.identity.authority import IdentityError
from motet.identity.signingrequests import USAGES, parse, problem_of_chain
from motet.kinds import ages
from motet.kinds.columns import AGE, NAME, NONE, column, text_at
from motet.kinds.kind import Aspect, Json, Kind
from motet.kinds.shape import mapping, number, objects, strings, text
from motet.store.document import Document

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
_DECISIONS = (APPROVED, DENIED)
_LEAST_SECONDS = 600
_LONGEST_SIGNER = 253 + 253 + 63 + 2
_SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


class CsrSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    request: str = ""
    signer_name: str = ""
    usages: tuple[str, ...] | None = None
    expiration_seconds: int | None = None
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: Mapping[str, tuple[str, ...]] | None = None


class CsrCondition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = ""
    status: str = "True"
    reason: str = ""
    message: str = ""
    last_update_time: str | None = None
    last_transition_time: str | None = None


class CsrStatus(msgspec.Struct, gc=False, frozen=True):
    certificate: str | None = None
    conditions: tuple[CsrCondition, ...] | None = None


class CsrView(msgspec.Struct, gc=False, frozen=True):
    """All of a request."""

    spec: CsrSpec = CsrSpec()
    status: CsrStatus = CsrStatus()

    def has(self, condition: str) -> bool:
        return any(each.type == condition for each in self.status.conditions or ())

    @property
    def request(self) -> bytes:
        return _plain(self.spec.request)

    @property
    def certificate(self) -> bytes:
        return _plain(self.status.certificate or "")


def _plain(coded: str) -> bytes:
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def prepare_update(document: Json, old: Json) -> None:
    # What was asked for stays, whatever is sent.
    document["spec"] = old.get("spec") or {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = []
    if old is None:
        errors += _request(text(spec, "request"))
    usages = strings(spec, "usages")
    if not usages:
        errors.append(required("spec.usages", "usages must be provided"))
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            errors.append(unsupported(f"spec.usages[{index}]", usage, USAGES))
        elif usage in usages[:index]:
            errors.append(duplicate(f"spec.usages[{index}]", usage))
    seconds = spec.get("expirationSeconds")
    if isinstance(seconds, int) and seconds < _LEAST_SECONDS:
        detail = f"may not specify a duration less than {_LEAST_SECONDS} seconds"
        errors.append(invalid("spec.expirationSeconds", seconds, detail))
    return errors + _signer(text(spec, "signerName"))


def _request(coded: str) -> list[FieldError]:
    try:
        parse(_plain(coded))
    except IdentityError as error:
        return [invalid("spec.request", coded, str(error))]
    return []


def _signer(name: str) -> list[FieldError]:
    path = "spec.signerName"
    if not name:
        return [required(path, "signerName must be provided")]
    domain, _, rest = name.partition("/")
    if not rest or "/" in rest:
        return [invalid(path, name, _SIGNER_FORM)]
    if name == "kubernetes.io/legacy-unknown":
        return [invalid(path, name, "the legacy signerName is not allowed via this API version")]
    errors = []
    for label in domain.split("."):
        if problem := names.label_error(label):
            errors.append(invalid(path, domain, f'validating label "{label}": {problem}'))
            break
    if "." not in domain:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    for label in rest.split("."):
        if problem := names.subdomain_error(label):
            errors.append(invalid(path, rest, f'validating label "{label}": {problem}'))
            break
    if len(name) > _LONGEST_SIGNER:
        errors.append(FieldError(path, "FieldValueTooLong", detail=f"may not be more than {_LONGEST_SIGNER} bytes"))
    return errors


def _approval(sent: Json, old: Json) -> Json:
    return {**old, "status": {**mapping(old, "status"), "conditions": objects(sent, "status", "conditions")}}


def _status(sent: Json, old: Json) -> Json:
    """Who signs does not decide: decisions that are there stay as they are."""
    decided = {text(each, "type"): each for each in objects(old, "status", "conditions")}
    given = [
        decided.get(text(each, "type"), each) if text(each, "type") in _DECISIONS else each
        for each in objects(sent, "status", "conditions")
    ]
    status = dict(mapping(sent, "status"))
    if given:
        status["conditions"] = given
    return {**old, "status": status}


def _validate_approval(new: Json, old: Json) -> list[FieldError]:
    return _conditions(new) + _kept(new, old, ())


def _validate_status(new: Json, old: Json) -> list[FieldError]:
    certificate, before = text(new, "status", "certificate"), text(old, "status", "certificate")
    errors = _conditions(new) + _kept(new, old, _DECISIONS)
    if before and certificate != before:
        errors.append(forbidden("status.certificate", "updates may not modify existing certificate content"))
    elif certificate and (problem := problem_of_chain(_plain(certificate))):
        errors.append(invalid("status.certificate", "<certificate data>", problem))
    return errors


def _conditions(document: Json) -> list[FieldError]:
    errors = []
    seen: set[str] = set()
    for index, condition in enumerate(objects(document, "status", "conditions")):
        path = f"status.conditions[{index}]"
        kind, status = text(condition, "type"), text(condition, "status")
        allowed = ("True",) if kind in (*_DECISIONS, FAILED) else ("False", "True", "Unknown")
        if not kind:
            errors.append(required(f"{path}.type"))
        if not status:
            errors.append(required(f"{path}.status"))
        elif status not in allowed:
            errors.append(unsupported(f"{path}.status", status, allowed))
        if kind in _DECISIONS and seen.intersection(_DECISIONS) - {kind}:
            detail = "Approved and Denied conditions are mutually exclusive"
            errors.append(invalid(f"{path}.type", kind, detail))
        if kind and kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
    return errors


def _kept(new: Json, old: Json, closed: tuple[str, ...]) -> list[FieldError]:
    """Decisions and failures do not go away; those of `closed` do not come either."""
    now, before = (
        {text(each, "type") for each in objects(document, "status", "conditions")} for document in (new, old)
    )
    removed = [kind for kind in (*_DECISIONS, FAILED) if kind in before - now]
    added = [kind for kind in closed if kind in now - before]
    path = "status.conditions"
    return [
        *(forbidden(path, f'updates may not remove a condition of type "{kind}"') for kind in removed),
        *(forbidden(path, f'updates may not add a condition of type "{kind}"') for kind in added),
    ]


class _FieldSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    signer_name: str = ""


class _Fields(msgspec.Struct, gc=False, frozen=True):
    spec: _FieldSpec = _FieldSpec()


def fields(document: Document) -> Mapping[str, str]:
    return {"spec.signerName": document.view(_Fields).spec.signer_name}


def _state(document: Json) -> str:
    kinds = {text(each, "type") for each in objects(document, "status", "conditions")}
    shown = DENIED if DENIED in kinds else APPROVED if APPROVED in kinds else "Pending"
    if FAILED in kinds:
        shown += f",{FAILED}"
    return f"{shown},Issued" if text(document, "status", "certificate") else shown


def _duration(document: Json) -> str:
    seconds = number(document, "spec", "expirationSeconds")
    return ages.duration(seconds) if seconds else NONE


KIND = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    singular="certificatesigningrequest",
    short_names=("csr",),
    namespaced=False,
    schema="io.k8s.api.certificates.v1.CertificateSigningRequest",
    prepare_update=prepare_update,
    validate=validate,
    name_error=names.segment_error,
    status=True,
    aspects={
        "approval": Aspect(_approval, _validate_approval, metadata=True),
        "status": Aspect(_status, _validate_status, metadata=True),
    },
    fields=fields,
    field_names=("spec.signerName",),
    columns=(
        NAME,
        AGE,
        column("SignerName", text_at("spec", "signerName"), about="Who is to sign."),
        column("Requestor", text_at("spec", "username"), about="Who asked."),
        column("RequestedDuration", _duration, about="For how long."),
        column("Condition", _state, about="How far it has come."),
    ),
)
