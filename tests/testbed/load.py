"""Clients that ask again and again, each time with a new connection, and remember every failure."""

from __future__ import annotations

import contextlib
import http.client
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

    def ask_on(self, host: str, port: int, timeout: float = 5.0) -> None:
        while not self.ended.wait(0.01):
            began = time.monotonic()
            try:
                body = fetch(host, port, timeout)
                self.bodies.add(body)
                self.last[body] = began
                self.answers += 1
                self.answered.append(began)
            except (OSError, http.client.HTTPException) as error:
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
    threads = [threading.Thread(target=made.ask_on, args=(host, port, timeout)) for host in hosts for _ in range(each)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        for thread in threads:
            thread.join()


def fetch(host: str, port: int, timeout: float = 5.0) -> str:
    """The body of an answer 200. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status} {body}")
        return body.strip()
