"""What the pods of an App are made of, as an identity: its version, and what a revision keeps of a specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motet.controllers.templates import normal, template_hash

# Beside the template, what other pods are made by.
_SHAPING = ("forceUpdate", "expandTemplates", "hostnameTemplate")
# What a revision keeps, and a rollback puts back.
KEPT = ("template", "placement", "restart", *_SHAPING)


def version_of(spec: Mapping[str, Any]) -> str:
    """Ten characters; the same for specifications (decoded `spec` of an App) whose pods are the same."""
    template = spec.get("template") or {}
    shaping = {key: spec[key] for key in _SHAPING if spec.get(key)}
    # Most Apps are nothing but a template, and pods made before there was more than that stay what they are.
    return template_hash({"template": template, **shaping} if shaping else template)


def kept_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a revision of this specification holds."""
    return {key: spec[key] for key in KEPT if spec.get(key) not in (None, {}, [], 0, False, "")}


def put_back(spec: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` as it was when `kept` was kept of it; sizes and policies of updates stay as they are."""
    return {**{key: value for key, value in spec.items() if key not in KEPT}, **kept}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two kept specifications mean the same."""
    return bool(normal(one) == normal(other))
