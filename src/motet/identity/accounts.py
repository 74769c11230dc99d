"""Service-account tokens: who a pod is, in words the API server can check (Kubernetes "Service account tokens", RFC 7519).

Two forms. A *bound* one has an audience and an end, and counts only while what it is bound to exists: the account, and
perhaps a pod, a secret or a node. A *lasting* one stands in a Secret of type kubernetes.io/service-account-token and counts
while that Secret holds it. This module makes and reads them; whether what they name exists is asked elsewhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from motet.identity.signing import BadSignature, KeyRing

USER_PREFIX = "system:serviceaccount:"
ALL_ACCOUNTS = "system:serviceaccounts"
LASTING_ISSUER = "kubernetes/serviceaccount"
# Clocks may differ by this much, in seconds.
LEEWAY = 60


class BadToken(BadSignature):
    """The token says something that does not count here (any more)."""


class Ref(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object by name and uid."""

    name: str = ""
    uid: str = ""


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The private claim `kubernetes.io`."""

    namespace: str = ""
    serviceaccount: Ref = Ref()
    pod: Ref | None = None
    secret: Ref | None = None
    node: Ref | None = None


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bound token says. Times are seconds since the epoch."""

    iss: str = ""
    sub: str = ""
    aud: list[str] | str = msgspec.field(default_factory=list)
    exp: int = 0
    iat: int = 0
    nbf: int = 0
    jti: str = ""
    bound: Binding = msgspec.field(default=Binding(), name="kubernetes.io")


class _Lasting(msgspec.Struct, frozen=True):
    iss: str = ""
    sub: str = ""
    namespace: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/namespace")
    secret: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/secret.name")
    account: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/service-account.name")
    uid: str = msgspec.field(default="", name="kubernetes.io/serviceaccount/service-account.uid")


_claims = msgspec.json.Decoder(Claims)
_lasting = msgspec.json.Decoder(_Lasting)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was signed by this cluster, taken apart. Of a lasting one `expires` is 0 and `audiences` are empty."""

    namespace: str
    account: Ref
    audiences: tuple[str, ...] = ()
    expires: int = 0
    not_before: int = 0
    id: str = ""
    pod: Ref | None = None
    secret: Ref | None = None
    node: Ref | None = None

    @property
    def lasting(self) -> bool:
        return not self.expires


def user_name(namespace: str, account: str) -> str:
    return f"{USER_PREFIX}{namespace}:{account}"


def issue(ring: KeyRing, issuer: str, binding: Binding, audiences: Sequence[str], *, now: int, seconds: int) -> str:
    """A bound token that counts from `now` on for so many seconds."""
    claims = Claims(
        iss=issuer,
        sub=user_name(binding.namespace, binding.serviceaccount.name),
        aud=list(audiences),
        exp=now + seconds,
        iat=now,
        nbf=now,
        jti=str(uuid.uuid4()),
        bound=binding,
    )
    return ring.sign(msgspec.json.encode(claims))


def issue_lasting(ring: KeyRing, namespace: str, secret: str, account: Ref) -> str:
    """The token that belongs into a Secret."""
    claims = _Lasting(LASTING_ISSUER, user_name(namespace, account.name), namespace, secret, account.name, account.uid)
    return ring.sign(msgspec.json.encode(claims))


def read(ring: KeyRing, issuer: str, text: str) -> Token:
    """A token of ours taken apart; its times are not looked at. Raises BadSignature, BadToken."""
    payload = ring.verify(text)
    try:
        claims = _claims.decode(payload)
        if claims.iss == LASTING_ISSUER:
            return _read_lasting(_lasting.decode(payload))
    except msgspec.DecodeError as error:
        raise BadToken("the token's claims cannot be read") from error
    bound = claims.bound
    if claims.iss != issuer:
        raise BadToken("the token is of another issuer")
    if not claims.exp or claims.sub != user_name(bound.namespace, bound.serviceaccount.name):
        raise BadToken("the token lacks claims that a service account's has")
    audiences = (claims.aud,) if isinstance(claims.aud, str) else tuple(claims.aud)
    return Token(
        bound.namespace, bound.serviceaccount, audiences, claims.exp, claims.nbf, claims.jti,
        bound.pod, bound.secret, bound.node,
    )  # fmt: skip


def _read_lasting(claims: _Lasting) -> Token:
    if claims.sub != user_name(claims.namespace, claims.account) or not claims.secret:
        raise BadToken("the token lacks claims that a service account's has")
    return Token(claims.namespace, Ref(claims.account, claims.uid), secret=Ref(claims.secret))


class Lasting:
    """Makes and recognizes the tokens that stand in Secrets."""

    def __init__(self, ring: Callable[[], KeyRing]) -> None:
        self._ring = ring

    def issue(self, namespace: str, secret: str, account: Ref) -> str:
        return issue_lasting(self._ring(), namespace, secret, account)

    def fits(self, text: str, namespace: str, secret: str, account: Ref) -> bool:
        """Whether `text` is such a token for just this secret and account, signed by a key that counts."""
        try:
            token = read(self._ring(), LASTING_ISSUER, text)
        except BadSignature:
            return False
        return token == Token(namespace, account, secret=Ref(secret))
