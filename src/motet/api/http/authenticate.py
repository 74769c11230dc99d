"""Who is asking (Kubernetes "Authenticating"): a chain of authenticators, the first that knows the caller decides.

A client certificate signed by the cluster's root names the user (common name) and the groups (organizations). TLS has
already verified it when it arrives here; only its end is checked again, since a connection may outlive it.
Who shows nothing is `system:anonymous` where roles open a path to strangers, and told 401 everywhere else (`dispatch`).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from motet.api.users import AUTHENTICATED, User
from motet.base.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows: the verified peer certificate in the form of `ssl.SSLSocket.getpeercert`, and a token."""

    certificate: Mapping[str, Any] | None
    authorization: str = ""


# Gives the user, or None when these credentials are none of its business. Raises Unauthorized for bad ones.
Authenticator = Callable[[Credentials], User | None]


def by_certificate(credentials: Credentials) -> User | None:
    """The user of a client certificate. Raises Unauthorized when it has run out."""
    certificate = credentials.certificate
    if not certificate:
        return None
    user, expires = _named(certificate["subject"], certificate["notAfter"])
    if user is None:
        return None
    if expires < time.time():
        raise Unauthorized(f"the client certificate of {user.name} expired at {certificate['notAfter']}")
    return user


@lru_cache(maxsize=4096)
def _named(subject: tuple[tuple[tuple[str, str], ...], ...], not_after: str) -> tuple[User | None, float]:
    names = [value for part in subject for key, value in part if key == "commonName"]
    groups = tuple(value for part in subject for key, value in part if key == "organizationName")
    if not names:
        return None, 0.0
    return User(names[-1], (*groups, AUTHENTICATED)), ssl.cert_time_to_seconds(not_after)


def authenticate(chain: Sequence[Authenticator], credentials: Credentials) -> User:
    """The caller. Raises Unauthorized when no authenticator knows them."""
    for authenticator in chain:
        user = authenticator(credentials)
        if user is not None:
            return user
    raise Unauthorized("Unauthorized")
