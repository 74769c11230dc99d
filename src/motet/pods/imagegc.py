"""Which images to clear away, decided (Kubernetes "Garbage collection of unused images").

An image that no container uses goes when the disk is nearly full, least recently used first; or when it has not been used for
very long. What was imported and not pulled stays: nobody could bring it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from motet.runtime.interface import Image

# As many bytes as there may be.
EVERYTHING = 1 << 62


@dataclass(frozen=True, slots=True)
class Policy:
    """Shares of the disk in percent; ages in seconds. `longest` 0: no image is too old."""

    high: int = 85
    low: int = 80
    least_age: float = 120.0
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """When each image (by id) was first seen and when last used, in seconds since the epoch."""

    seen: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)

    def after(self, images: Iterable[Image], in_use: Collection[str], now: float) -> Memory:
        """What is remembered after a look at all images; `in_use` are ids."""
        ids = {image.id for image in images}
        seen = {key: self.seen.get(key, now) for key in ids}
        used = {key: now if key in in_use else self.used[key] for key in ids if key in in_use or key in self.used}
        return Memory(seen, used)

    def idle_since(self, image: Image) -> float:
        return self.used.get(image.id, self.seen.get(image.id, 0.0))


def to_free(capacity: int, available: int, policy: Policy) -> int:
    """How many bytes have to go; 0 while the disk is not full enough."""
    if capacity <= 0 or 100 - available * 100 // capacity < policy.high:
        return 0
    return max(0, capacity * (100 - policy.low) // 100 - available)


def choose(
    images: Iterable[Image], in_use: Collection[str], spared: Collection[str], memory: Memory, wanted: int, now: float,
    policy: Policy,
) -> list[Image]:  # fmt: skip
    """The images to remove: too old, and then the longest unused until `wanted` bytes are gathered.

    `spared` are names that must stay.
    """
    idle = [
        image
        for image in images
        if image.id not in in_use
        and image.digests
        and not set(spared) & {*image.tags, *image.digests}
        and now - memory.seen.get(image.id, now) >= policy.least_age
    ]  # fmt: skip
    chosen, freed = [], 0
    for image in sorted(idle, key=lambda image: (memory.idle_since(image), memory.seen.get(image.id, 0.0), image.id)):
        too_old = policy.longest and now - memory.idle_since(image) > policy.longest
        if too_old or freed < wanted:
            chosen.append(image)
            freed += image.size
    return chosen
