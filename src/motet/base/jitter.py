"""Waiting a little more or less than told, so that many who were cut off together do not come back together."""

from __future__ import annotations

import random


def around(seconds: float, share: float = 0.5) -> float:
    """`seconds`, up to `share` of it more or less, evenly spread."""
    return seconds * random.uniform(1 - share, 1 + share)  # noqa: S311 - not a secret


def below(seconds: float, share: float = 0.2) -> float:
    """`seconds` or up to `share` of it less: for what must not be late."""
    return seconds * random.uniform(1 - share, 1)  # noqa: S311 - not a secret
