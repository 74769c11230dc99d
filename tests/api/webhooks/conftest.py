"""A whole API server, and webhooks to ask."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.api.custom.conftest import World, world
from tests.api.http.conftest import pki
from tests.support.webhook import Webhook

__all__ = ["answer", "pki", "world"]

Json = dict[str, Any]
GROUP = "/apis/admissionregistration.k8s.io/v1"


def answer(asked: Json, allowed: bool = True, *, patch: list[Json] | None = None, **response: Any) -> Json:
    """A review's answer."""
    found: Json = {"uid": asked["request"]["uid"], "allowed": allowed, **response}
    if patch is not None:
        found |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return {"kind": "AdmissionReview", "apiVersion": asked["apiVersion"], "response": found}


def rule(
    *operations: str, resources: tuple[str, ...] = ("configmaps",), groups: tuple[str, ...] = ("",), **more: Any
) -> Json:
    return {
        "operations": list(operations or ("*",)),
        "apiGroups": list(groups),
        "apiVersions": ["v1"],
        "resources": list(resources),
        **more,
    }


def hook(running: Webhook, *rules: Json, name: str = "one.example.com", **more: Any) -> Json:
    return {
        "name": name,
        "clientConfig": running.config(),
        "rules": list(rules or (rule(),)),
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **more,
    }


async def configure(world: World, kind: str, *hooks: Json, name: str = "hooks") -> None:
    document = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": list(hooks),
    }
    status, found = await world.api.ask("POST", f"{GROUP}/{kind.lower()}webhookconfigurations", document)
    assert status == 201, found


MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str = "one", labels: Json | None = None, **data: str) -> Json:
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}
