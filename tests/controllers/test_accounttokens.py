"""Secrets that hold the token of a service account."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from tests.controllers.world import World, world

from motet.controllers.accounttokens import GIVEN, AccountTokens
from motet.identity.accounts import Lasting, Ref
from motet.identity.signing import KeyRing
from motet.kinds import secret, serviceaccount

RING = KeyRing(ec.generate_private_key(ec.SECP256R1()))
TOKENS = Lasting(lambda: RING)


async def filler(it: World) -> None:
    await AccountTokens(it.client, it.clock, TOKENS, "PEM").run()


async def giver(it: World) -> None:
    await AccountTokens(it.client, it.clock, TOKENS, "PEM", one_each=True).run()


async def account(it: World, name: str = "robot") -> str:
    return str((await it.create(serviceaccount.KIND, {"metadata": {"name": name}})).meta.uid)


async def wanted(it: World, name: str = "s", of: str = "robot", **annotations: str) -> None:
    noted = {"kubernetes.io/service-account.name": of, **annotations}
    body = {"metadata": {"name": name, "annotations": noted}, "type": "kubernetes.io/service-account-token"}
    await it.create(secret.KIND, body)


def held(it: World, name: str = "s") -> dict[str, str]:
    found: dict[str, Any] = it.get(secret.KIND, name) or {}
    return {key: b64decode(value).decode() for key, value in (found.get("data") or {}).items()}


async def test_a_secret_that_asks_for_a_token_gets_one(tmp_path: Path) -> None:
    async with world(tmp_path, filler) as it:
        uid = await account(it)
        await wanted(it)
        await it.until(lambda: "token" in held(it))
        assert TOKENS.fits(held(it)["token"], "default", "s", Ref("robot", uid))
        assert (held(it)["ca.crt"], held(it)["namespace"]) == ("PEM", "default")
        noted = (it.get(secret.KIND, "s") or {})["metadata"]["annotations"]
        assert noted["kubernetes.io/service-account.uid"] == uid


async def test_it_goes_with_its_account(tmp_path: Path) -> None:
    async with world(tmp_path, filler) as it:
        await account(it)
        await wanted(it)
        await it.until(lambda: "token" in held(it))
        await it.client.delete(serviceaccount.KIND, "robot", "default")
        await it.until(lambda: it.get(secret.KIND, "s") is None)


async def test_one_for_an_account_of_that_name_that_was_before_is_removed(tmp_path: Path) -> None:
    async with world(tmp_path, filler) as it:
        await account(it)
        await wanted(it, **{"kubernetes.io/service-account.uid": "another"})
        await it.until(lambda: it.get(secret.KIND, "s") is None)


async def test_a_token_that_counts_no_more_is_made_anew(tmp_path: Path) -> None:
    async with world(tmp_path, filler) as it:
        uid = await account(it)
        await wanted(it)
        await it.until(lambda: "token" in held(it))
        await it.client.patch(secret.KIND, "s", {"data": {"token": "bm9uc2Vuc2U="}}, "default")
        await it.until(lambda: TOKENS.fits(held(it)["token"], "default", "s", Ref("robot", uid)))


async def test_every_account_is_given_one_where_that_was_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path, giver) as it:
        await account(it)
        await it.until(lambda: (it.get(serviceaccount.KIND, "robot") or {}).get("secrets"))
        [listed] = (it.get(serviceaccount.KIND, "robot") or {})["secrets"]
        await it.until(lambda: "token" in held(it, listed["name"]))


async def given(it: World) -> str:
    """The Secret that the account mentions, once it mentions one with a token."""

    def look() -> str:
        listed = (it.get(serviceaccount.KIND, "robot") or {}).get("secrets") or []
        return listed[0]["name"] if len(listed) == 1 and "token" in held(it, listed[0]["name"]) else ""

    found: str = await it.until(look)
    return found


async def test_one_that_is_deleted_is_followed_by_another(tmp_path: Path) -> None:
    async with world(tmp_path, giver) as it:
        await account(it)
        first = await given(it)
        await it.client.delete(secret.KIND, first, "default")
        await it.until(lambda: it.get(secret.KIND, first) is None)
        await it.until(lambda: first not in str((it.get(serviceaccount.KIND, "robot") or {})["secrets"]))
        assert await given(it) != first


async def test_a_crash_between_the_secret_and_its_mention_leaves_one_secret(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        uid = await account(it)
        await wanted(it, "robot-token-x", **{"kubernetes.io/service-account.uid": uid, GIVEN: "true"})
        running = asyncio.create_task(giver(it))
        try:
            assert await given(it) == "robot-token-x"
            assert [each["metadata"]["name"] for each in it.all(secret.KIND)] == ["robot-token-x"]
        finally:
            running.cancel()
