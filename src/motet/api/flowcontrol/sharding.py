"""Shuffle sharding: each flow is dealt a hand of queues, so that a loud one leaves most others a queue without it.

Two flows seldom have the same hand, and a flow that fills its own leaves those of others queues that are not full.
"""

from __future__ import annotations

import hashlib


def hand(flow: str, queues: int, size: int) -> tuple[int, ...]:
    """`size` different numbers below `queues`: always the same ones for the same flow."""
    left = int.from_bytes(hashlib.blake2b(flow.encode(), digest_size=16).digest())
    dealt: list[int] = []
    for number in range(size):
        left, card = divmod(left, queues - number)
        # The card counts among those that are not dealt yet.
        for taken in sorted(dealt):
            card += taken <= card
        dealt.append(card)
    return tuple(dealt)
