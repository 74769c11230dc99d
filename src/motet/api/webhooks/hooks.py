"""Webhooks as their configurations describe them, read once: what each is about, and how it is asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from motet.api.conditions import Condition, conditions
from motet.api.matching import Matching
from motet.api.webhooks.client import Address
from motet.kinds import mutatingwebhookconfiguration as mutating
from motet.kinds.admissionrules import DEFAULT_TIMEOUT, REVIEW_VERSIONS
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, strings, text
from motet.store.document import Document


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook. `fails`: what cannot be asked refuses; `again`: it wants to see what others changed after it."""

    name: str
    configuration: str
    mutating: bool
    address: Address
    matching: Matching
    conditions: tuple[Condition, ...]
    fails: bool
    seconds: float
    again: bool
    review: str

    @property
    def key(self) -> str:
        return f"{self.configuration}/{self.name}"


def read(document: Document) -> Iterable[Hook]:
    """The webhooks of one configuration, in its order."""
    found = document.decode()
    is_mutating = found.get("kind") == mutating.KIND.kind
    return [_hook(hook, document.name, is_mutating) for hook in objects(found, "webhooks")]


def _hook(hook: Json, configuration: str, is_mutating: bool) -> Hook:
    known = strings(hook, "admissionReviewVersions")
    return Hook(
        name=text(hook, "name"),
        configuration=configuration,
        mutating=is_mutating,
        address=Address.of(mapping(hook, "clientConfig")),
        matching=Matching.of(hook, "rules"),
        conditions=conditions(objects(hook, "matchConditions")),
        fails=hook.get("failurePolicy") != "Ignore",
        seconds=float(hook.get("timeoutSeconds") or DEFAULT_TIMEOUT),
        again=hook.get("reinvocationPolicy") == "IfNeeded",
        review=next((version for version in known if version in REVIEW_VERSIONS), REVIEW_VERSIONS[0]),
    )
