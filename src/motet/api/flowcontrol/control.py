"""From a request to its seat: follows the FlowSchemas and levels, remembers which requests match which, and refuses with 429.

A refusal is given after a pause, so that whoever does not heed `Retry-After` gains nothing by asking again at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from motet.api.flowcontrol import matching, sharding
from motet.api.flowcontrol.matching import Asked, Schema
from motet.api.flowcontrol.seats import Level, Limits, Line, Room
from motet.api.users import User
from motet.base.clock import Clock
from motet.base.errors import TooManyRequests
from motet.kinds import flowcontrol, flowschema, prioritylevelconfiguration
from motet.kinds.flowcontrol import EXEMPT_TYPE
from motet.store.document import Document
from motet.store.table import Table

# Requests that are remembered with their flows. What they differ in is mostly namespaces.
_REMEMBERED = 8192
_PAUSE, _PAUSING, _RETRY_AFTER = 0.5, 2000, 1


class _Queuing(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    queues: int = 64
    hand_size: int = 8
    queue_length_limit: int = 50


class _Response(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    queuing: _Queuing | None = None


class _Limited(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    nominal_concurrency_shares: int = 30
    lendable_percent: int = 0
    borrowing_limit_percent: int | None = None
    limit_response: _Response = _Response()


class _Exempt(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    nominal_concurrency_shares: int = 0
    lendable_percent: int = 0


class _Spec(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    limited: _Limited | None = None
    exempt: _Exempt | None = None


class LevelView(msgspec.Struct, gc=False, frozen=True):
    """What a PriorityLevelConfiguration says."""

    spec: _Spec = _Spec()


def level_of(name: str, uid: str, view: LevelView) -> Level:
    """A PriorityLevelConfiguration as it is used."""
    spec = view.spec
    if spec.type == EXEMPT_TYPE:
        exempt = spec.exempt or _Exempt()
        shares, lendable = exempt.nominal_concurrency_shares, exempt.lendable_percent
        return Level(name=name, uid=uid, exempt=True, shares=shares, lendable=lendable, queues=1)
    limited = spec.limited or _Limited()
    queuing = limited.limit_response.queuing
    return Level(
        name=name,
        uid=uid,
        shares=limited.nominal_concurrency_shares,
        lendable=limited.lendable_percent,
        borrowing=limited.borrowing_limit_percent,
        queues=queuing.queues if queuing is not None else 0,
        hand=queuing.hand_size if queuing is not None else 0,
        length=queuing.queue_length_limit if queuing is not None else 0,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Where a request belongs: the line of its level, the queues it may wait in, and what the answer's headers say."""

    schema: str
    line: Line
    hand: tuple[int, ...]
    headers: Mapping[str, str]


class FlowControl:
    """Follows both tables; they must be filled. Asking for a match never waits."""

    def __init__(self, table: Callable[[str], Table], clock: Clock, limits: Limits = Limits()) -> None:
        self.room = Room(clock, limits)
        self.refused: Counter[tuple[str, str]] = Counter()
        self._clock = clock
        self._schemas_table = table(flowschema.KIND.resource)
        self._levels_table = table(prioritylevelconfiguration.KIND.resource)
        self._schemas_table.listen(self._changed)
        self._levels_table.listen(self._changed)
        self._schemas: list[Schema] = []
        self._known: dict[object, Match] = {}
        self._stale = True
        self._pausing = 0

    def match(self, user: User, asked: Asked) -> Match:
        """Where a request belongs."""
        if self._stale:
            self._follow()
        key = (user.name, user.groups, asked.verb, asked.group, asked.resource, asked.namespace, asked.path)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._find(user, asked)
        return found

    async def take(self, match: Match, width: int = 1) -> int:
        """Wait for seats, and tell how many were taken. Raises TooManyRequests."""
        taken = await match.line.sit(match.hand, width)
        if not taken:
            await self._refuse(match)
        return taken

    def metrics(self) -> Iterable[str]:
        """What there is to measure, in Prometheus' text format and under upstream's names."""
        lines = sorted(self.room.lines.items())
        for name, about, values in (
            ("nominal_limit_seats", "Seats of the level's own.", [line.nominal for _, line in lines]),
            ("current_executing_seats", "Seats that are taken.", [line.taken for _, line in lines]),
            ("current_inqueue_requests", "Requests that wait.", [line.waiting for _, line in lines]),
        ):
            yield f"# HELP apiserver_flowcontrol_{name} {about}"
            yield f"# TYPE apiserver_flowcontrol_{name} gauge"
            for (level, _), value in zip(lines, values, strict=True):
                yield f'apiserver_flowcontrol_{name}{{priority_level="{level}"}} {value}'
        name = "apiserver_flowcontrol_rejected_requests_total"
        yield f"# HELP {name} Requests that were told to come back later."
        yield f"# TYPE {name} counter"
        for (level, schema), number in sorted(self.refused.items()):
            yield f'{name}{{priority_level="{level}",flow_schema="{schema}"}} {number}'

    def _changed(self, old: Document | None, new: Document | None) -> None:
        self._stale = True

    def _follow(self) -> None:
        """Read both tables anew. What is mandatory counts even where it is missing just now."""
        levels = {
            name: level_of(name, "", msgspec.convert({"spec": spec}, LevelView))
            for name, spec in flowcontrol.MANDATORY_LEVELS.items()
        }
        levels |= {each.name: level_of(each.name, each.meta.uid, each.view(LevelView)) for each in self._levels_table}
        self.room.share_out(levels.values())
        schemas = {
            name: Schema.read(name, "", msgspec.convert({"spec": spec}, matching.SchemaView))
            for name, spec in flowcontrol.MANDATORY_SCHEMAS.items()
        }
        schemas |= {
            each.name: Schema.read(each.name, each.meta.uid, each.view(matching.SchemaView))
            for each in self._schemas_table
        }
        self._schemas = matching.ordered(schema for schema in schemas.values() if schema.level in levels)
        self._known.clear()
        self._stale = False

    def _find(self, user: User, asked: Asked) -> Match:
        schema = matching.first(self._schemas, user, asked)
        if schema is None:  # a caller in none of the groups that everybody is in
            schema = next(each for each in self._schemas if each.name == flowcontrol.CATCH_ALL)
        line = self.room.lines[schema.level]
        level = line.level
        flow = f"{schema.name},{schema.flow(user, asked)}"
        # Those that are exempt take turns all the same, each caller with the others.
        hand = (hash(user.name),) if level.exempt else sharding.hand(flow, level.queues, level.hand)
        headers = {"X-Kubernetes-PF-FlowSchema-UID": schema.uid, "X-Kubernetes-PF-PriorityLevel-UID": level.uid}
        return Match(schema.name, line, hand, headers)

    async def _refuse(self, match: Match) -> None:
        self.refused[match.line.level.name, match.schema] += 1
        if self._pausing < _PAUSING:
            self._pausing += 1
            try:
                await self._clock.sleep(_PAUSE)
            finally:
                self._pausing -= 1
        details = {"retryAfterSeconds": _RETRY_AFTER, "kind": "", "causes": []}
        raise TooManyRequests("too many requests, please try again later", details=details)
