"""Log lines: taken from a stream of bytes, put in the order of their times, and written with their pod's name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import click

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")


class LogLine(NamedTuple):
    """One line. `time` is RFC 3339 as the API gave it (sorts as text), `text` has no line end."""

    time: str
    source: str
    text: bytes


class Splitter:
    """Bytes of one stream, in pieces, to lines."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[LogLine]:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for raw in whole:
            yield self._line(raw)

    def end(self) -> Iterator[LogLine]:
        """What came without a line end."""
        if self._rest:
            raw, self._rest = self._rest, b""
            yield self._line(raw)

    def _line(self, raw: bytes) -> LogLine:
        time, _, text = raw.partition(b" ")
        return LogLine(time.decode(errors="replace"), self._source, text)


def in_order(lines: Iterable[LogLine]) -> list[LogLine]:
    """By time; lines of one source keep their order."""
    return sorted(lines, key=lambda line: line.time)


class Writer:
    """Lines as text, each source with a colour of its own when there are colours."""

    def __init__(self, *, times: bool, colours: bool) -> None:
        self._times = times
        self._colours = colours
        self._known: dict[str, str] = {}
        self._width = 0

    def announce(self, sources: Iterable[str]) -> None:
        """Names that are going to appear, so that the lines stand in one column."""
        for source in sources:
            self._known.setdefault(source, _COLOURS[len(self._known) % len(_COLOURS)])
            self._width = max(self._width, len(source))

    def text(self, line: LogLine) -> bytes:
        self.announce((line.source,))
        prefix = f"{line.source.ljust(self._width)} | "
        if self._colours:
            prefix = click.style(prefix, fg=self._known[line.source])
        time = f"{line.time} ".encode() if self._times else b""
        return prefix.encode() + time + line.text + b"\n"
