"""Callers that show a service-account token (Kubernetes "Authenticating", service account tokens).

What a token says about itself is signed and cannot change, so it is checked once and remembered; whether the account and what
the token is bound to still exist is looked up at every request.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from motet.api.admission import Lookup
from motet.api.http.authenticate import Credentials
from motet.api.users import AUTHENTICATED, User
from motet.base.clock import Clock
from motet.base.errors import Unauthorized
from motet.base.timestamps import parse_time
from motet.identity import accounts
from motet.identity.accounts import BadToken, Ref, Token
from motet.identity.signing import BadSignature, KeyRing
from motet.kinds.secret import ACCOUNT_TOKEN, SecretToken
from motet.store.document import Document

_REMEMBERED = 4096
_EXTRA = "authentication.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Whose token it is, and for which of the audiences asked about it is good."""

    user: User
    audiences: tuple[str, ...]


class Tokens:
    """Authenticates bearer tokens. `issuer` is also the audience that stands for the API server."""

    def __init__(self, lookup: Lookup, ring: Callable[[], KeyRing], issuer: str, clock: Clock) -> None:
        self._lookup = lookup
        self._ring = ring
        self.issuer = issuer
        self._clock = clock
        self._read: OrderedDict[bytes, Token] = OrderedDict()
        self._read_with: KeyRing | None = None

    def authenticate(self, credentials: Credentials) -> User | None:
        """The user of a bearer token; None without one. Raises Unauthorized."""
        scheme, _, text = credentials.authorization.partition(" ")
        if scheme.lower() != "bearer" or not (text := text.strip()):
            return None
        try:
            return self.review(text, ()).user
        except BadSignature as error:
            raise Unauthorized(f"Unauthorized: {error}") from error

    def review(self, text: str, audiences: Sequence[str]) -> Reviewed:
        """Whose token it is, if it is good for any of `audiences` (none: the API server's). Raises BadSignature."""
        token = self._claims(text)
        wanted = tuple(audiences) or (self.issuer,)
        own = (self.issuer,) if token.lasting else token.audiences
        shared = tuple(audience for audience in wanted if audience in own)
        if not shared:
            raise BadToken("the token is for another audience")
        now = self._clock.now()
        if not token.lasting and not token.not_before - accounts.LEEWAY <= now.timestamp() < token.expires:
            raise BadToken(
                "the token has expired" if now.timestamp() >= token.expires else "the token is not valid yet"
            )
        self._still_there(token, text, now)
        return Reviewed(_user(token), shared)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The keys that others may check tokens with."""
        return self._ring().jwks()

    def algorithms(self) -> list[str]:
        """What tokens may be signed with."""
        return self._ring().algorithms

    def _claims(self, text: str) -> Token:
        ring = self._ring()
        if ring is not self._read_with:
            self._read.clear()
            self._read_with = ring
        key = hashlib.sha256(text.encode()).digest()
        known = self._read.get(key)
        if known is None:
            known = self._read[key] = accounts.read(ring, self.issuer, text)
            if len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
        else:
            self._read.move_to_end(key)
        return known

    def _still_there(self, token: Token, text: str, now: datetime) -> None:
        self._same("core/serviceaccounts", token.namespace, token.account, now)
        if token.pod is not None:
            self._same("core/pods", token.namespace, token.pod, now)
        if token.node is not None and token.pod is None:
            self._same("core/nodes", "", token.node, now)
        if token.secret is not None:
            secret = self._same("core/secrets", token.namespace, token.secret, now)
            if token.lasting:
                view = secret.view(SecretToken)
                if view.type != ACCOUNT_TOKEN or view.token != text:
                    raise BadToken("the token is not the one in its secret")

    def _same(self, resource: str, namespace: str, ref: Ref, now: datetime) -> Document:
        found = self._lookup(resource).get(ref.name, namespace)
        kind = resource.partition("/")[2].removesuffix("s")
        if found is None or (ref.uid and found.meta.uid != ref.uid):
            raise BadToken(f"the {kind} of this token does not exist any more")
        ending = found.meta.deletion_timestamp
        if ending and parse_time(ending) < now - timedelta(seconds=accounts.LEEWAY):
            raise BadToken(f"the {kind} of this token has been deleted")
        return found


def _user(token: Token) -> User:
    extra = {}
    if token.id:
        extra[f"{_EXTRA}credential-id"] = (f"JTI={token.id}",)
    for name, ref in (("pod", token.pod), ("node", token.node)):
        if ref is not None:
            extra[f"{_EXTRA}{name}-name"] = (ref.name,)
            extra[f"{_EXTRA}{name}-uid"] = (ref.uid,)
    groups = (accounts.ALL_ACCOUNTS, f"{accounts.ALL_ACCOUNTS}:{token.namespace}", AUTHENTICATED)
    return User(accounts.user_name(token.namespace, token.account.name), groups, token.account.uid, extra)


def openid_configuration(tokens: Tokens, address: str) -> dict[str, object]:
    """`/.well-known/openid-configuration` (OpenID Connect Discovery 1.0); `address` is HOST:PORT of the API server."""
    return {
        "issuer": tokens.issuer,
        "jwks_uri": f"https://{address}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": tokens.algorithms(),
    }
