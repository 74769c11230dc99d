"""Who may ask for, approve and sign certificates (Kubernetes admission plugins CertificateSubjectRestriction,
CertificateApproval and CertificateSigning), and what the server notes about a request.
"""

from __future__ import annotations

from collections.abc import Callable

from motet.api.admission import Plugin, Request, refusal
from motet.api.attributes import Attributes
from motet.api.users import MASTERS, User
from motet.base.clock import Clock
from motet.base.timestamps import format_time
from motet.identity.authority import IdentityError
from motet.identity.signingrequests import API_CLIENT, parse
from motet.kinds.certificatesigningrequest import FAILED, KIND
from motet.kinds.configmap import decoded
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text

May = Callable[[User, Attributes], bool]


def plugins(may: May, clock: Clock) -> tuple[Plugin, ...]:
    """What writes of CertificateSigningRequests go through."""

    def stamp(request: Request) -> None:
        _stamp(request, format_time(clock.now()))

    def decide(request: Request) -> None:
        _check_decision(may, request)

    def sign(request: Request) -> None:
        _check_signature(may, request)

    ours = (KIND.resource,)
    return (
        Plugin("CertificateSigningRequest", _ask, mutating=True, resources=ours, verbs=("CREATE",)),
        Plugin("CertificateSigningRequest", stamp, mutating=True, resources=ours, verbs=("UPDATE",), subresources=True),
        Plugin("CertificateSubjectRestriction", _restrict, resources=ours, verbs=("CREATE",)),
        Plugin("CertificateApproval", decide, resources=ours, verbs=("UPDATE",), subresources=True),
        Plugin("CertificateSigning", sign, resources=ours, verbs=("UPDATE",), subresources=True),
    )


def _ask(request: Request) -> None:
    """A request says who made it; nobody chooses that."""
    spec = mapping(request.new or {}, "spec")
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
    user = request.user
    spec["username"] = user.name
    if user.uid:
        spec["uid"] = user.uid
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}


def _stamp(request: Request, now: str) -> None:
    """Conditions without times get them; one that only repeats what was there keeps its own."""
    before = {
        (text(each, "type"), text(each, "status")): each for each in objects(request.old or {}, "status", "conditions")
    }
    for condition in objects(request.new or {}, "status", "conditions"):
        condition.setdefault("lastUpdateTime", now)
        same = before.get((text(condition, "type"), text(condition, "status")), {})
        condition.setdefault("lastTransitionTime", same.get("lastTransitionTime") or now)


def _restrict(request: Request) -> None:
    """Nobody becomes an administrator by a certificate that was asked for."""
    spec = mapping(request.new or {}, "spec")
    if text(spec, "signerName") != API_CLIENT:
        return
    try:
        asked = parse(decoded(text(spec, "request")))
    except IdentityError:
        return  # Validation has said so.
    if MASTERS in asked.organizations:
        raise refusal(request, f"use of {API_CLIENT} signer with {MASTERS} group is not allowed")


def _check_decision(may: May, request: Request) -> None:
    if request.subresource == "approval" and not _may(may, request, "approve"):
        raise refusal(request, f'user not permitted to approve requests with signerName "{_signer(request)}"')


def _check_signature(may: May, request: Request) -> None:
    if request.subresource != "status" or _signed(request.new) == _signed(request.old):
        return
    if not _may(may, request, "sign"):
        raise refusal(request, f'user not permitted to sign requests with signerName "{_signer(request)}"')


def _signed(document: Json | None) -> tuple[str, list[Json]]:
    failed = [each for each in objects(document or {}, "status", "conditions") if text(each, "type") == FAILED]
    return text(document or {}, "status", "certificate"), failed


def _signer(request: Request) -> str:
    return text(request.old or {}, "spec", "signerName")


def _may(may: May, request: Request, verb: str) -> bool:
    signer = _signer(request)
    names = (signer, f"{signer.partition('/')[0]}/*")
    return any(may(request.user, Attributes(verb, KIND.group, "signers", name=name)) for name in names)
