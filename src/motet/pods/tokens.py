"""Service-account tokens for the pods of a node: asked for on behalf of a pod, kept in memory, asked for again in time.

The kubelet's rule: a token is renewed when four fifths of its life are over, or after a day. While the API is away the old
one is given as long as it counts.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from motet.base.clock import Clock
from motet.base.errors import ServerError
from motet.base.timestamps import parse_time
from motet.client.interface import Client
from motet.kinds import serviceaccount
from motet.pods.spec import Pod, TokenProjection

# Upstream's default for a projection that says nothing.
_SECONDS = 3600
_DAY = 24 * 3600.0
_SPENT = 0.8
# So that many pods that began together do not ask together.
_SPREAD = 10.0
# pod uid, audience, seconds
_Asked = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class _Token:
    """Times are seconds since the epoch."""

    text: str
    renew_at: float
    expires: float


class PodTokens:
    """The tokens of this node's pods."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[_Asked, _Token] = {}
        self._locks: dict[_Asked, asyncio.Lock] = {}

    async def get(self, pod: Pod, wanted: TokenProjection) -> bytes:
        """A token that counts, made for this pod. Raises ApiError."""
        return (await self._current(pod, wanted)).text.encode()

    async def issued(self, pod: Pod, wanted: TokenProjection) -> tuple[str, float]:
        """The same as text, with the seconds since the epoch at which it ends."""
        current = await self._current(pod, wanted)
        return current.text, current.expires

    async def _current(self, pod: Pod, wanted: TokenProjection) -> _Token:
        asked = (pod.metadata.uid, wanted.audience or "", wanted.expiration_seconds or _SECONDS)
        async with self._locks.setdefault(asked, asyncio.Lock()):
            known = self._tokens.get(asked)
            now = self._clock.now().timestamp()
            if known is None or now >= known.renew_at:
                try:
                    known = self._tokens[asked] = await self._request(pod, asked)
                except ServerError:
                    if known is None or now >= known.expires:
                        raise
            return known

    def forget(self, uid: str) -> None:
        """The pod is no more."""
        for asked in [each for each in self._locks if each[0] == uid]:
            self._tokens.pop(asked, None)
            del self._locks[asked]

    async def _request(self, pod: Pod, asked: _Asked) -> _Token:
        uid, audience, seconds = asked
        meta = pod.metadata
        spec = {
            "audiences": [audience] if audience else [],
            "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": uid},
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        now = self._clock.now().timestamp()
        account = pod.spec.service_account_name or "default"
        answer = await self._client.post(serviceaccount.KIND, account, "token", body, meta.namespace)
        status = answer["status"]
        expires = parse_time(status["expirationTimestamp"]).timestamp()
        return _Token(status["token"], now + min((expires - now) * _SPENT, _DAY) - _early(asked), expires)


def _early(asked: _Asked) -> float:
    return hashlib.sha256(repr(asked).encode()).digest()[0] / 256 * _SPREAD
