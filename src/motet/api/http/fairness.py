"""Seats: how many requests are worked on at a time, and whose turn it is (Kubernetes "API Priority and Fairness", in the small).

Nodes and leaders have seats of their own, so that no crowd of others keeps a node from saying that it lives. Everybody else
shares a level: each caller is a flow, the flows take turns, and a flow that has too much waiting is told to come back later (429).
Long lists take several seats. Watches, streams and health are outside of all this: they cost little once they stand.

Most requests never wait for anything, so a crowd of them would be worked off in one go of the event loop, and a node would wait for
all of it. Hence a level may have a `budget`: so much work is begun in one round of the loop, and what is left waits until the loop
has looked who else has come.

A refusal is given after a pause, so that whoever does not heed `Retry-After` gains nothing by asking again at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from motet.base.clock import Clock
from motet.base.errors import TooManyRequests

# Who asks: a user, from an address.
Flow = tuple[str, str]

NODES, LEADERS, OTHERS = "nodes", "leaders", "others"
_MOST_A_ROUND = 64
_LOOK_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Level:
    """`seats` at a time; `waiting` at most in the line of one flow, for `seconds` at most. `budget`: seconds of work that are
    begun in one round of the loop (0: any)."""

    seats: int
    waiting: int = 100
    seconds: float = 15.0
    budget: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The levels, and how long a refusal takes. Of refusals that pause, `pausing` at most; the others come at once."""

    levels: Mapping[str, Level] = field(
        default_factory=lambda: {NODES: Level(64, 500), LEADERS: Level(16), OTHERS: Level(48, budget=0.004)}
    )
    pause: float = 0.5
    pausing: int = 2000
    retry_after: int = 1


@dataclass(slots=True, eq=False)
class _Waiter:
    width: int
    until: float
    seated: asyncio.Future[bool]


class Line:
    """The seats of one level, and the flows that wait for them."""

    def __init__(self, level: Level, clock: Clock) -> None:
        self._level = level
        self._clock = clock
        self.taken = 0
        # Flows in the order of their turns.
        self._flows: OrderedDict[Flow, deque[_Waiter]] = OrderedDict()
        self._looking: asyncio.Task[None] | None = None
        # Of the round of the loop we are in: how many more may begin, when it began, and how many in any round.
        self._left = self._batch = _MOST_A_ROUND
        self._round_began: float | None = None
        self._cost = 0.0

    @property
    def waiting(self) -> int:
        return sum(map(len, self._flows.values()))

    async def sit(self, flow: Flow, width: int) -> bool:
        """Take seats, after waiting for them if need be; False when the line is too long or too slow."""
        width = min(width, self._level.seats)
        if not self._flows and self._room(width):
            self._begin(width)
            self._watch_round()
            return True
        line = self._flows.setdefault(flow, deque())
        if len(line) >= self._level.waiting:
            return False
        seated: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(width, self._clock.monotonic() + self._level.seconds, seated)
        line.append(waiter)
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        try:
            return await seated
        except asyncio.CancelledError:
            if seated.done() and not seated.cancelled() and seated.result():
                self.stand_up(width)
            else:
                self._leave(flow, waiter)
            raise

    def stand_up(self, width: int) -> None:
        """Give seats back, and let those sit whose turn it is."""
        self.taken -= min(width, self._level.seats)
        self._go_on()

    def _room(self, width: int) -> bool:
        return self._left > 0 and self.taken + width <= self._level.seats

    def _begin(self, width: int) -> None:
        self.taken += width
        if self._level.budget:
            self._left -= 1

    def _go_on(self) -> None:
        while self._flows:
            flow, line = next(iter(self._flows.items()))
            waiter = line[0]
            if not self._room(waiter.width):
                break
            line.popleft()
            if line:
                self._flows.move_to_end(flow)
            else:
                del self._flows[flow]
            if not waiter.seated.done():
                self._begin(waiter.width)
                waiter.seated.set_result(True)
        # Behind those that were just let in, so that their work is over when the round ends.
        self._watch_round()

    def _leave(self, flow: Flow, waiter: _Waiter) -> None:
        line = self._flows.get(flow)
        if line is not None and waiter in line:
            line.remove(waiter)
            if not line:
                del self._flows[flow]
        # It may have been wider than the seats that are free, and those behind it are not.
        self._go_on()

    # --- rounds -------------------------------------------------------------------------------------------------------

    def _watch_round(self) -> None:
        if self._round_began is None and self._left < self._batch:
            self._round_began = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._end_round)

    def _end_round(self) -> None:
        """The loop has come round: what a request costs is known better, and the next may begin."""
        assert self._round_began is not None
        each = (time.perf_counter() - self._round_began) / max(1, self._batch - self._left)
        self._cost = each if not self._cost else 0.8 * self._cost + 0.2 * each
        self._batch = self._left = max(1, min(_MOST_A_ROUND, int(self._level.budget / max(self._cost, 1e-6))))
        self._round_began = None
        self._go_on()

    async def _look(self) -> None:
        """Send away who has waited too long, while anybody waits."""
        while self._flows:
            await self._clock.sleep(_LOOK_EVERY)
            now = self._clock.monotonic()
            for flow, line in list(self._flows.items()):
                for waiter in [each for each in line if each.until <= now]:
                    if not waiter.seated.done():
                        waiter.seated.set_result(False)
                    self._leave(flow, waiter)
        self._looking = None


class Seats:
    """All levels. `refused` counts by level."""

    def __init__(self, clock: Clock, config: Config | None = None) -> None:
        self._clock = clock
        self._config = config or Config()
        self.lines = {name: Line(level, clock) for name, level in self._config.levels.items()}
        self.refused = dict.fromkeys(self.lines, 0)
        self._pausing = 0

    async def take(self, level: str, flow: Flow, width: int = 1) -> None:
        """Wait for seats. Raises TooManyRequests."""
        line = self.lines[level]
        if not await line.sit(flow, width):
            await self._refuse(level, flow)

    def give_back(self, level: str, width: int = 1) -> None:
        self.lines[level].stand_up(width)

    def gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        """What the metrics show of each level."""
        found: dict[str, tuple[str, Callable[[], float]]] = {}
        for name in self.lines:
            found |= self._gauges_of(name)
        return found

    def _gauges_of(self, level: str) -> dict[str, tuple[str, Callable[[], float]]]:
        line = self.lines[level]
        return {
            f"motet_api_{level}_seats_taken": (f"Seats taken by requests of {level}.", lambda: float(line.taken)),
            f"motet_api_{level}_waiting": (f"Requests of {level} that wait.", lambda: float(line.waiting)),
            f"motet_api_{level}_refused": (
                f"Requests of {level} that were told to come back later.",
                lambda: float(self.refused[level]),
            ),
        }

    async def _refuse(self, level: str, flow: Flow) -> None:
        self.refused[level] += 1
        if self._pausing < self._config.pausing:
            self._pausing += 1
            try:
                await self._clock.sleep(self._config.pause)
            finally:
                self._pausing -= 1
        raise TooManyRequests(
            "too many requests, please try again later",
            details={"retryAfterSeconds": self._config.retry_after, "kind": "", "causes": []},
        )
