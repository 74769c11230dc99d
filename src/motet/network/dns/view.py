"""The names as one kind of asker sees them: records, answers made from them already, and whether names outside are its business."""

from __future__ import annotations

from collections.abc import Sequence

from motet.network.dns import wire
from motet.network.dns.zone import Answer, Zone


class View:
    """`elsewhere` holds names that are looked up when `zone` does not have them; with `closed` nothing is asked outside."""

    def __init__(self, zone: Zone, elsewhere: Zone | None = None) -> None:
        self.zone = zone
        self.elsewhere = elsewhere
        self.closed = False
        # By the question's exact bytes: one response for each order of its addresses.
        self.kept: dict[bytes, Sequence[bytes]] = {}

    def changed(self) -> None:
        """The records are others now."""
        self.kept.clear()

    def close(self, closed: bool) -> None:
        """Answer no more from outside, or again."""
        if closed != self.closed:
            self.closed = closed
            self.changed()

    def lookup(self, name: str, kind: int) -> Answer:
        """What a question is answered with."""
        answer = self.zone.lookup(name, kind)
        if not answer.records and not answer.outside and self.elsewhere is not None:
            second = self.elsewhere.lookup(name, kind)
            if second.records:
                return second
        if self.closed and answer.outside:
            return Answer(wire.REFUSED)
        if self.closed and answer.follow:
            return Answer(answer.rcode, answer.records)
        return answer
