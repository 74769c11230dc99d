"""How a run is shown while it goes on: a live table on a terminal, plain lines elsewhere, or nothing.

Everything goes to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from motet.cli.output import clean, colourful

# What a state looks like: its mark and its colour.
_LOOKS = {
    "waiting": ("·", "dim"),
    "building": ("…", "cyan"),
    "pulling": ("…", "cyan"),
    "starting": ("…", "yellow"),
    "stopping": ("…", "yellow"),
    "ready": ("✔", "green"),
    "completed": ("✔", "green"),
    "gone": ("✔", "green"),
    "failed": ("✘", "red"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One service in the table."""

    name: str
    state: str
    detail: str = ""


class Progress(Protocol):
    """Where a run tells what it does. Use as a context manager."""

    def __enter__(self) -> Progress: ...

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None:
        """What the whole run does now."""
        ...

    def show(self, lines: Iterable[Line]) -> None:
        """How every service is doing now."""
        ...


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def show(self, lines: Iterable[Line]) -> None:
        pass


class Plain:
    """A line for everything that changed, for logs and pipes."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda text: click.echo(text, err=True))
        self._shown: dict[str, Line] = {}
        self._said = ""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._write(text)

    def show(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if self._shown.get(line.name) != line:
                self._shown[line.name] = line
                self._write(f"{line.name}: {line.state}{f', {clean(line.detail)}' if line.detail else ''}")


class Fancy:
    """A table that redraws itself, with the seconds each service has taken so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(stderr=True, highlight=False, no_color=not colourful(sys.stderr))
        self._clock = clock
        self._lines: list[Line] = []
        self._since: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._spinner = Spinner("dots")
        self._live = Live(console=self._console, refresh_per_second=8, get_renderable=self._picture, transient=False)

    def __enter__(self) -> Fancy:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._spinner = Spinner("dots", text="")
        self._ended = True
        self._live.stop()

    _ended = False

    def say(self, text: str) -> None:
        self._spinner.update(text=Text(text, style="bold"))

    def show(self, lines: Iterable[Line]) -> None:
        self._lines = list(lines)
        now = self._clock()
        for line in self._lines:
            self._since.setdefault(line.name, now)
            if line.state in ("ready", "completed", "failed", "gone"):
                self._took.setdefault(line.name, now - self._since[line.name])
            else:
                self._took.pop(line.name, None)

    def _picture(self) -> Group:
        table = Table.grid(padding=(0, 2))
        now = self._clock()
        for line in self._lines:
            mark, style = _LOOKS.get(line.state, ("…", "yellow"))
            seconds = self._took.get(line.name, now - self._since.get(line.name, now))
            table.add_row(
                Text(f" {mark}", style=style),
                Text(line.name),
                Text(line.state, style=style),
                Text(clean(line.detail), style="dim", overflow="ellipsis", no_wrap=True),
                Text(f"{seconds:.0f}s" if seconds >= 1 else "", style="dim"),
            )
        return Group(table) if self._ended else Group(table, self._spinner)


def chosen(*, quiet: bool = False) -> Progress:
    """What suits standard error."""
    if quiet:
        return Quiet()
    return Fancy() if sys.stderr.isatty() else Plain()
