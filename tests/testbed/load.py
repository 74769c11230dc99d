"""Clients that ask again and again, each time with a new connection, and remember every failure.

A pod sees a client's own address, by whichever node it comes. Those who ask two nodes are two machines; here they share an
address, so each has ports of its own. A port that both used would be an old connection to the pod that has just closed it
(TIME-WAIT, RFC 9293 3.10.7.8), and now and then take a second or three to be a new one.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Failure:
    """`at` is when the request began, on the monotonic clock."""

    at: float
    host: str
    error: str


@dataclass(slots=True)
class Load:
    answers: int = 0
    bodies: set[str] = field(default_factory=set)
    # Of each answer there was: when its last request began, on the monotonic clock.
    last: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def ask_on(self, host: str, port: int, timeout: float, sources: Iterator[int]) -> None:
        while not self.ended.wait(0.01):
            began = time.monotonic()
            try:
                body = fetch(host, port, timeout, next(sources))
                self.bodies.add(body)
                self.last[body] = began
                self.answers += 1
                self.answered.append(began)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                    continue  # somebody else's port
                self.failures.append(Failure(began, host, repr(error)))

    def failed(self, after: float = 0.0, before: float = float("inf")) -> list[Failure]:
        """Requests that began between two moments and came to nothing."""
        return [failure for failure in self.failures if after <= failure.at < before]

    def served(self, after: float = 0.0, before: float = float("inf")) -> int:
        """Requests that began between two moments and were answered."""
        return sum(after <= at < before for at in self.answered)


@contextlib.contextmanager
def load(hosts: Iterable[str], port: int, each: int = 2, timeout: float = 5.0) -> Iterator[Load]:
    """So many clients of `port` at each of these addresses, for as long as the block lasts."""
    made = Load()
    threads = []
    for host in hosts:
        sources = _sources(host)
        threads += [threading.Thread(target=made.ask_on, args=(host, port, timeout, sources)) for _ in range(each)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        for thread in threads:
            thread.join()


def _sources(host: str) -> Iterator[int]:
    """The ports to ask this host from, again and again, below those that the kernel gives out. Threads may share them."""
    first = 10_000 + int(host.rpartition(".")[2]) % 8 * 2_800
    return itertools.cycle(range(first, first + 2_800))


def fetch(host: str, port: int, timeout: float = 5.0, source: int = 0) -> str:
    """The body of an answer 200. `source` is the port to ask from, if it matters. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout, source_address=("", source))
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status} {body}")
        return body.strip()
