"""Names for containers that were given none: how a piece goes, and who might have written it."""

from __future__ import annotations

import secrets
from collections.abc import Collection

_HOW = (
    "adagio", "agile", "bold", "brisk", "bright", "calm", "clear", "dolce", "fervent", "gentle", "grave", "joyful", "largo",
    "lively", "merry", "mild", "noble", "pensive", "placid", "serene", "solemn", "sonorous", "stately", "tender",
)  # fmt: skip
_WHO = (
    "allegri", "binchois", "brumel", "byrd", "caldara", "dufay", "dunstable", "gabrieli", "gesualdo", "gibbons", "gombert",
    "hildegard", "isaac", "josquin", "lasso", "machaut", "marenzio", "monteverdi", "morley", "obrecht", "ockeghem",
    "palestrina", "strozzi", "tallis", "victoria", "vitry", "weelkes", "willaert",
)  # fmt: skip


def free(taken: Collection[str]) -> str:
    """A name that nobody has."""
    name = f"{secrets.choice(_HOW)}_{secrets.choice(_WHO)}"
    while name in taken:
        name += str(secrets.randbelow(10))
    return name
