"""What verbs print: tables for people, JSON and YAML for programs. Colours only where a person looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

import click
import msgspec
import yaml

FORMATS = ("table", "wide", "json", "yaml")
_GAP = "   "


def output_option(*formats: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o FORMAT`; the first one given is the default."""
    choices = formats or FORMATS
    return click.option(
        "-o", "--output", type=click.Choice(choices), default=choices[0], show_default=True, help="How to print."
    )


def colourful(stream: IO[str]) -> bool:
    """Whether colours belong on a stream (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """`text` in a colour if the stream shows any; standard output by default."""
    return click.style(text, fg=colour) if colourful(stream or sys.stdout) else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell; the last one is not padded. No rows, no table."""
    if not rows:
        return ""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def structured(value: Any, form: str) -> str:
    """A value as JSON or YAML text."""
    if form == "yaml":
        return yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, allow_unicode=True).rstrip()
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def clean(text: str) -> str:
    """Text that came from a container or an image, harmless to a terminal on one line."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
