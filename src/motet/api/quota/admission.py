"""Who may add to a namespace with quotas (Kubernetes admission plugin ResourceQuota). It comes last of all plugins."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.api.admission import Plugin, Request, refusal
from motet.api.quota import measure
from motet.api.quota.book import Ledger, QuotaBook
from motet.api.quota.measure import PODS, Usage
from motet.base.clock import Clock
from motet.kinds.kind import Json

_UPDATED = (PODS, measure.SERVICES, measure.CLAIMS)


def plugins(book: QuotaBook, clock: Clock) -> tuple[Plugin, ...]:
    def charge(request: Request) -> None:
        if request.kind.namespaced and book.guards(request.namespace, request.kind.resource):
            _charge(book, clock, request)

    def resize(request: Request) -> None:
        if request.subresource == "resize":
            charge(request)

    # What it needs of a document it decodes from whatever form its parts have.
    return (
        Plugin("ResourceQuota", charge, template_safe=True),
        Plugin("ResourceQuota", resize, resources=(PODS,), verbs=("UPDATE",), subresources=True, template_safe=True),
    )


def _charge(book: QuotaBook, clock: Clock, request: Request) -> None:
    resource = request.kind.resource
    if request.verb == "UPDATE" and resource not in _UPDATED:
        return
    now = clock.now()
    view, before = _view(resource, request.new), _view(resource, request.old)
    shares = []
    for ledger in book.ledgers(request.namespace):
        book.ledger(request.namespace, ledger.name)
        if not measure.matches(ledger.scopes, resource, view):
            continue
        if resource == PODS and request.verb == "CREATE" and (why := measure.missing(ledger.hard, view)):
            raise refusal(request, f"failed quota: {ledger.name}: {why}")
        share = ledger.share(resource, view, now)
        if before is not None:
            old = ledger.share(resource, before, now)
            share = {name: max(0, amount - old.get(name, 0)) for name, amount in share.items()}
        if over := ledger.exceeded(share):
            raise refusal(request, _exceeded(ledger, share, over))
        if any(share.values()):
            shares.append((ledger, share))
    if shares and not request.dry_run:
        key = (resource, request.name)
        request.held.append(book.promise(request.namespace, key, shares, ends_when_seen=request.verb == "CREATE"))


def _view(resource: str, document: Json | None) -> Any:
    return None if document is None else measure.decoder(resource).decode(msgspec.json.encode(document))


def _exceeded(ledger: Ledger, share: Usage, names: list[str]) -> str:
    def listed(amounts: Usage) -> str:
        return ",".join(f"{name}={measure.shown(name, amounts.get(name, 0))}" for name in names)

    used = {name: ledger.used[name] + ledger.promised.get(name, 0) for name in names}
    return f"exceeded quota: {ledger.name}, requested: {listed(share)}, used: {listed(used)}, limited: {listed(ledger.hard)}"
