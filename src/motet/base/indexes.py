"""Sets of completion indexes as text: `0,3-5,7` (the Job API's `completedIndexes`, `failedIndexes`, `succeededIndexes`)."""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str, below: int | None = None) -> frozenset[int]:
    """Read increasing numbers and ranges; numbers from `below` on are left out. Raises ValueError in upstream's words."""
    found: set[int] = set()
    for first, last in intervals(text):
        found.update(range(first, last + 1 if below is None else min(last + 1, below)))
    return frozenset(found)


def intervals(text: str) -> list[tuple[int, int]]:
    """The ranges in `text`, both ends included, a single number being one too. Raises ValueError."""
    found: list[tuple[int, int]] = []
    if not text:
        return found
    previous = -1
    for part in text.split(","):
        ends = [_number(end) for end in part.split("-")]
        if len(ends) > 2:
            raise ValueError(
                f'the fragment "{part}" violates the requirement that an index interval can have at most two parts '
                "separated by '-'"
            )
        for end in ends:
            if end <= previous:
                raise ValueError(f"non-increasing order, previous: {previous}, current: {end}")
            previous = end
        found.append((ends[0], ends[-1]))
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    return int(text)


def show(indexes: Iterable[int]) -> str:
    """The shortest text: three or more in a row become a range."""
    parts: list[str] = []
    run: list[int] = []
    for index in [*sorted(set(indexes)), None]:
        if run and (index is None or index != run[-1] + 1):
            parts += [str(run[0]), str(run[-1])][: len(run)] if len(run) < 3 else [f"{run[0]}-{run[-1]}"]
            run = []
        if index is not None:
            run.append(index)
    return ",".join(parts)
