"""Secrets with the token of a service account (type kubernetes.io/service-account-token), for programs that live elsewhere.

Who makes such a Secret with the annotation kubernetes.io/service-account.name finds token, CA and namespace in it a moment
later; it goes with its account. With `one_each` every account is given one, as Kubernetes did before 1.24.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Conflict, Forbidden, NotFound
from motet.base.selectors import FieldSelector, FieldTerm
from motet.client.interface import Client
from motet.controllers.loop import Controller, ObjectKey
from motet.identity.accounts import Lasting, Ref
from motet.kinds import secret as secret_kind
from motet.kinds import serviceaccount as account_kind
from motet.kinds.secret import ACCOUNT_NAME, ACCOUNT_TOKEN, ACCOUNT_UID, SecretToken
from motet.store.document import Document
from motet.store.table import Table

# On a Secret that an account was given without asking.
GIVEN = "motet.dev/given-to-account"
_LOOK_AGAIN = 300.0
_TOKENS = FieldSelector((FieldTerm("type", ACCOUNT_TOKEN),))


@dataclass(frozen=True, slots=True)
class Gone:
    """The Secret's account is no more, or another one by now."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What the Secret has to hold and to be annotated with, besides what it has."""

    data: dict[str, str]
    annotations: dict[str, str]


def decide(secret: Document, account: Document | None, tokens: Lasting, ca: str) -> Gone | Filled | None:
    """What has to become of a Secret of this type; None when it is as it should be."""
    noted = secret.meta.annotations or {}
    if account is None or noted.get(ACCOUNT_UID) not in (None, "", account.meta.uid):
        return Gone()
    owner = Ref(account.name, account.meta.uid)
    held = secret.view(SecretToken)
    data = {}
    if not tokens.fits(held.token, secret.namespace, secret.name, owner):
        data["token"] = _coded(tokens.issue(secret.namespace, secret.name, owner))
    for key, wanted in (("ca.crt", ca), ("namespace", secret.namespace)):
        if wanted and held.text(key) != wanted:
            data[key] = _coded(wanted)
    annotations = {} if noted.get(ACCOUNT_UID) else {ACCOUNT_UID: account.meta.uid}
    return Filled(data, annotations) if data or annotations else None


class AccountTokens:
    """The loop that fills, makes and removes such Secrets. Keys are accounts. `ca` is PEM text."""

    def __init__(self, client: Client, clock: Clock, tokens: Lasting, ca: str, *, one_each: bool = False) -> None:
        self._client = client
        self._clock = clock
        self._tokens = tokens
        self._ca = ca
        self._one_each = one_each
        self._accounts: Table
        self._secrets: Table

    async def run(self) -> None:
        """Look after the Secrets until cancelled."""
        self._accounts = await self._client.table(account_kind.KIND)
        self._secrets = await self._client.table(secret_kind.KIND)
        loop: Controller[ObjectKey] = Controller("account-tokens", self.reconcile, clock=self._clock)
        loop.watch(self._accounts, lambda old, new: [(each.namespace, each.name) for each in (new or old,) if each])
        loop.watch(self._secrets, _accounts_of)
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """All Secrets of one account; seconds until the keys may have changed."""
        namespace, name = key
        account = self._accounts.get(name, namespace)
        secrets = [
            secret
            for secret in self._secrets.select(namespace, fields=_TOKENS)
            if (secret.meta.annotations or {}).get(ACCOUNT_NAME) == name and secret.meta.deletion_timestamp is None
        ]
        for secret in secrets:
            await self._settle(secret, account)
        if self._one_each and account is not None and account.meta.deletion_timestamp is None:
            await self._give_one(account, [each for each in secrets if _is_of(each, account)])
        return _LOOK_AGAIN if secrets else None

    async def _settle(self, secret: Document, account: Document | None) -> None:
        match decide(secret, account, self._tokens, self._ca):
            case Gone():
                with contextlib.suppress(NotFound, Conflict):
                    await self._client.delete(secret_kind.KIND, secret.name, secret.namespace, uid=secret.meta.uid)
            case Filled(data, annotations):
                changed = secret.decode()
                changed["data"] = {**(changed.get("data") or {}), **data}
                changed["metadata"]["annotations"] = {**(changed["metadata"].get("annotations") or {}), **annotations}
                with contextlib.suppress(NotFound):
                    await self._client.update(secret_kind.KIND, changed)

    async def _give_one(self, account: Document, secrets: Sequence[Document]) -> None:
        """First the Secret, then its mention in the account: a crash in between is made good by looking again."""
        given = next((each for each in secrets if GIVEN in (each.meta.annotations or {})), None)
        if given is None:
            noted = {ACCOUNT_NAME: account.name, ACCOUNT_UID: account.meta.uid, GIVEN: "true"}
            meta = {"generateName": f"{account.name}-token-", "annotations": noted}
            # Forbidden: the namespace began to go in between.
            with contextlib.suppress(AlreadyExists, Forbidden):
                await self._client.create(
                    secret_kind.KIND, {"metadata": meta, "type": ACCOUNT_TOKEN}, account.namespace
                )
            return  # The new Secret calls for another look.
        changed = account.decode()
        listed = changed.get("secrets") or []
        kept = [each for each in listed if not self._was_given(account, str(each.get("name")), given.name)]
        if kept != listed or all(each.get("name") != given.name for each in listed):
            changed["secrets"] = [*(each for each in kept if each.get("name") != given.name), {"name": given.name}]
            with contextlib.suppress(NotFound):
                await self._client.update(account_kind.KIND, changed)

    def _was_given(self, account: Document, name: str, now: str) -> bool:
        """Whether a mention is of a Secret that was given to the account before, and is no more."""
        gone = self._secrets.get(name, account.namespace) is None
        return gone and name != now and name.startswith(f"{account.name}-token-")


def _is_of(secret: Document, account: Document) -> bool:
    return (secret.meta.annotations or {}).get(ACCOUNT_UID) == account.meta.uid


def _accounts_of(old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
    for secret in (old, new):
        if secret is not None and secret.view(SecretToken).type == ACCOUNT_TOKEN:
            name = (secret.meta.annotations or {}).get(ACCOUNT_NAME)
            if name:
                yield secret.namespace, name


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
