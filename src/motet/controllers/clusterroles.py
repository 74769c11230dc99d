"""ClusterRoles that gather the rules of others (Kubernetes "Aggregated ClusterRoles")."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers.loop import Controller
from motet.kinds.rbac import clusterrole
from motet.store.document import Document
from motet.store.table import Table

Json = dict[str, Any]


class _Aggregation(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    cluster_role_selectors: tuple[dict[str, Any], ...] | None = None


class _RoleView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    aggregation_rule: _Aggregation | None = None
    rules: list[dict[str, Any]] | None = None


def gathered(own: Document, roles: Iterable[Document]) -> list[Json] | None:
    """The rules that a role gathers, each once, in the order of their roles' names; None when it gathers none."""
    rule = own.view(_RoleView).aggregation_rule
    if rule is None:
        return None
    wanted = [selectors.from_document(each) for each in rule.cluster_role_selectors or ()]
    found: list[Json] = []
    for role in sorted(roles, key=lambda each: each.name):
        if role.name != own.name and any(selector.matches(role.meta.labels) for selector in wanted):
            found += [each for each in role.view(_RoleView).rules or () if each not in found]
    return found


class AggregatedRoles:
    """The loop. Keys are the roles that gather."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._roles: Table

    async def run(self) -> None:
        """Keep gathering until cancelled."""
        self._roles = await self._client.table(clusterrole.KIND)
        loop: Controller[str] = Controller("clusterrole-aggregation", self.reconcile, clock=self._clock)
        loop.watch(self._roles, self._concerned)
        await loop.run()

    def _concerned(self, old: Document | None, new: Document | None) -> Iterable[str]:
        """Whatever changed, those who gather have to look; there are few of them."""
        return [role.name for role in self._roles if role.view(_RoleView).aggregation_rule is not None]

    async def reconcile(self, name: str) -> None:
        role = self._roles.get(name)
        rules = gathered(role, self._roles) if role is not None else None
        if role is None or rules is None or rules == (role.view(_RoleView).rules or []):
            return
        with contextlib.suppress(NotFound):
            await self._client.update(clusterrole.KIND, {**role.decode(), "rules": rules})
