"""Tokens for the pods of a node."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from motet.base.clock import FakeClock
from motet.base.errors import Unavailable
from motet.base.timestamps import format_time
from motet.pods.spec import TokenProjection
from motet.pods.tokens import PodTokens
from support.fake_client import FakeClient
from support.pods import app, pod

WANTED = TokenProjection("token", None, 3600)


class Issuer(FakeClient):
    """Answers with t1, t2 ... that are good for an hour."""

    def _enter(self, verb: str, *rest: Any) -> None:
        super()._enter(verb, *rest)
        if verb == "post":
            expires = format_time(self._clock.now() + timedelta(hours=1))
            self.posts.append({"status": {"token": f"t{len(self.posted) + 1}", "expirationTimestamp": expires}})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(clock: FakeClock) -> Issuer:
    return Issuer(clock)


@pytest.fixture
def tokens(client: Issuer, clock: FakeClock) -> PodTokens:
    return PodTokens(client, clock)


WEB = pod(app(), serviceAccountName="robot")


async def test_a_token_is_asked_for_the_pod_it_is_for(client: Issuer, tokens: PodTokens) -> None:
    assert await tokens.get(WEB, WANTED) == b"t1"
    [(_, kind, name)] = client.writes
    assert (kind, name) == ("serviceaccounts", "robot/token")
    spec = client.posted[0]["spec"]
    assert spec["boundObjectRef"]["uid"] == WEB.metadata.uid
    assert (spec["audiences"], spec["expirationSeconds"]) == ([], 3600)


async def test_it_is_kept_until_four_fifths_of_its_life_are_over(tokens: PodTokens, clock: FakeClock) -> None:
    await tokens.get(WEB, WANTED)
    await clock.advance(3600 * 0.8 - 15)
    assert await tokens.get(WEB, WANTED) == b"t1"
    await clock.advance(15)
    assert await tokens.get(WEB, WANTED) == b"t2"


async def test_each_audience_has_its_own(tokens: PodTokens) -> None:
    assert await tokens.get(WEB, WANTED) == b"t1"
    assert await tokens.get(WEB, TokenProjection("vault", "vault", 3600)) == b"t2"


async def test_while_the_api_is_away_the_old_one_is_given_as_long_as_it_counts(
    client: Issuer, tokens: PodTokens, clock: FakeClock
) -> None:
    await tokens.get(WEB, WANTED)
    client.away = True
    await clock.advance(3599)
    assert await tokens.get(WEB, WANTED) == b"t1"
    await clock.advance(2)
    with pytest.raises(Unavailable):
        await tokens.get(WEB, WANTED)


async def test_a_pod_that_is_no_more_is_forgotten(tokens: PodTokens) -> None:
    await tokens.get(WEB, WANTED)
    tokens.forget(WEB.metadata.uid)
    assert await tokens.get(WEB, WANTED) == b"t2"
