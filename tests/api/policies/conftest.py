"""A whole API server, and policies in it."""

from __future__ import annotations

from typing import Any

from tests.api.custom.conftest import World, world
from tests.api.http.conftest import pki
from tests.api.webhooks.conftest import rule

__all__ = ["pki", "world"]

Json = dict[str, Any]
GROUP = "/apis/admissionregistration.k8s.io/v1"


async def apply(
    world: World,
    kind: str = "Validating",
    *,
    name: str = "p",
    rules: list[Json] | None = None,
    bound: Json | None = None,
    **spec: Any,
) -> None:
    """A policy about config maps, and a binding of the same name with `b` behind it."""
    about = {"resourceRules": rules or [rule("CREATE", "UPDATE", "DELETE")]}
    actions = {"validationActions": ["Deny"]} if kind == "Validating" else {}
    policy = {"metadata": {"name": name}, "spec": {"matchConstraints": about, **spec}}
    binding = {"metadata": {"name": f"{name}b"}, "spec": {"policyName": name, **actions, **(bound or {})}}
    for plural, document in (("policies", policy), ("policybindings", binding)):
        status, found = await world.api.ask("POST", f"{GROUP}/{kind.lower()}admission{plural}", document)
        assert status == 201, found
