"""Pod templates as identities: when two mean the same, and the short name of one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

HASH_LABEL = "pod-template-hash"
# The alphabet of generated names: no vowels, nothing that looks like something else.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_HASH_LENGTH = 10
# Maps that upstream's typed comparison does not tell from absent ones.
_EMPTY_IS_ABSENT = frozenset({"labels", "annotations", "nodeSelector"})


def template_hash(template: Mapping[str, Any], collisions: int = 0) -> str:
    """Ten characters that name a pod template; the same for templates that mean the same, in every version of Motet."""
    canonical = msgspec.json.encode(normal(template), order="deterministic")
    number = int.from_bytes(hashlib.sha256(canonical + b"%d" % collisions).digest()[:12], "big")
    characters = []
    for _ in range(_HASH_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)


def normal(template: Any) -> Any:
    """The template without its own hash and without what is as good as absent."""
    if isinstance(template, Mapping):
        return {
            key: normal(value)
            for key, value in template.items()
            if value is not None
            and value != []
            and not (key in _EMPTY_IS_ABSENT and value in ({}, {HASH_LABEL: value.get(HASH_LABEL)}))
            and key != HASH_LABEL
        }
    return [normal(value) for value in template] if isinstance(template, list) else template
