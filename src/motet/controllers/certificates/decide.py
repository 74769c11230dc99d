"""What becomes of a CertificateSigningRequest next: a plain decision over the request and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from motet.base.timestamps import parse_time
from motet.identity.authority import IdentityError
from motet.identity.signingrequests import NODE_CLIENT, SIGNERS, Asked, ends, parse, refusal
from motet.kinds.certificatesigningrequest import APPROVED, DENIED, FAILED, CsrView

# Upstream's cleaner: decided and failed requests stay an hour, those nobody decides about a day.
_DECIDED = timedelta(hours=1)
_PENDING = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Remove:
    """Nobody will ask for it any more."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Our signer may not sign it, and says why."""

    why: str


@dataclass(frozen=True, slots=True)
class Sign:
    """Approved, and in order."""

    asked: Asked


@dataclass(frozen=True, slots=True)
class MayApprove:
    """To be approved if its author has this permission (a subresource of certificatesigningrequests)."""

    subresource: str
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now; look again at `until`."""

    until: datetime | None


Next = Remove | Fail | Sign | MayApprove | Wait


def decide(csr: CsrView, created: datetime, now: datetime) -> Next:
    """The next step for a request that was made at `created`."""
    gone = _gone_at(csr, created)
    if gone is not None and gone <= now:
        return Remove()
    done = csr.certificate or csr.has(DENIED) or csr.has(FAILED)
    if not done and csr.spec.signer_name in SIGNERS:
        try:
            asked = parse(csr.request)
        except IdentityError as error:
            return Fail(str(error))
        if csr.has(APPROVED):
            why = refusal(csr.spec.signer_name, asked, csr.spec.usages or (), csr.spec.username)
            return Fail(why) if why else Sign(asked)
        if found := _recognized(csr, asked):
            return found
    return Wait(gone)


def _recognized(csr: CsrView, asked: Asked) -> MayApprove | None:
    """Nodes' requests for client certificates are the only ones upstream approves by itself."""
    if csr.spec.signer_name != NODE_CLIENT:
        return None
    if refusal(NODE_CLIENT, asked, csr.spec.usages or (), csr.spec.username):
        return None
    if asked.common_name == csr.spec.username:
        message = "Auto approving self kubelet client certificate after SubjectAccessReview."
        return MayApprove("selfnodeclient", message)
    return MayApprove("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")


def _gone_at(csr: CsrView, created: datetime) -> datetime | None:
    if csr.certificate:
        end = ends(csr.certificate)
        decided = _decided_at(csr)
        soonest = [each for each in (end, decided + _DECIDED if decided else None) if each is not None]
        return min(soonest) if soonest else None
    if csr.has(APPROVED) or csr.has(DENIED) or csr.has(FAILED):
        decided = _decided_at(csr)
        return decided + _DECIDED if decided is not None else None
    return created + _PENDING


def _decided_at(csr: CsrView) -> datetime | None:
    times = [
        parse_time(each.last_update_time)
        for each in csr.status.conditions or ()
        if each.type in (APPROVED, DENIED, FAILED) and each.last_update_time
    ]
    return max(times) if times else None
