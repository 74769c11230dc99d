"""The tokens of a CEL expression: as much of its syntax as rewriting one takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<text>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>\d[0-9A-Za-z_.]*)
    |(?P<sign>&&|\|\||[=!<>]=|\?\.|\[\?|.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = ("(", "[", "{", "[?"), (")", "]", "}")


class Token(NamedTuple):
    """One token and where it begins; `kind` is text, name, number or sign."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens(expression: str) -> list[Token]:
    """All tokens but space and comments."""
    return [
        Token(str(found.lastgroup), found.group(0), found.start())
        for found in _TOKEN.finditer(expression)
        if found.lastgroup != "space"
    ]


def mentions(expression: str, name: str) -> bool:
    """Whether a variable occurs in an expression, as itself and not as somebody's member."""
    found = tokens(expression)
    return any(
        token.kind == "name" and token.text == name and (index == 0 or found[index - 1].text not in (".", "?."))
        for index, token in enumerate(found)
    )


def closing(found: Sequence[Token], opening: int) -> int:
    """The index of the bracket that closes the one at `opening`; -1 when there is none."""
    depth = 0
    for index in range(opening, len(found)):
        if found[index].kind != "sign":
            continue
        if found[index].text in _OPENING:
            depth += 1
        elif found[index].text in _CLOSING:
            depth -= 1
            if depth == 0:
                return index
    return -1


def arguments(found: Sequence[Token], opening: int, end: int) -> list[tuple[int, int]]:
    """The arguments between two brackets, as ranges of token indices."""
    ranges: list[tuple[int, int]] = []
    begin, index = opening + 1, opening + 1
    while index < end:
        if found[index].kind == "sign" and found[index].text in _OPENING:
            index = closing(found, index)
            if index < 0:
                return ranges
        elif found[index].text == ",":
            ranges.append((begin, index))
            begin = index + 1
        index += 1
    return [*ranges, (begin, end)] if begin < end else ranges
