"""A compiled expression as a tree, read from what the engine serializes (`cel.expr.CheckedExpr`, syntax.proto and checked.proto).

Macros are expanded there, so a tree has seven kinds of nodes. Only what is needed to judge an expression is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# (number of the field, its varint or bytes)
_Member = tuple[int, int | bytes]


@dataclass(frozen=True, slots=True)
class Constant:
    """`size` of a text in bytes, 0 for anything else; `text` when it is one."""

    size: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """A member; `test`: only whether it is there."""

    operand: Node
    member: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator; what it is called on comes first."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Keys and values in turns."""

    entries: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A comprehension: `step` gives the next value of `total` for each element of `range`, while `condition` holds."""

    range: Node
    variables: tuple[str, ...]
    total: str
    begin: Node
    condition: Node
    step: Node
    result: Node


Node = Constant | Name | Select | Call | Listed | Mapped | Loop


def read(serialized: bytes) -> Node:
    """The tree of a serialized expression, which comes wrapped in a `google.protobuf.Any`."""
    return _node(_one(_one(serialized, 2), 4))


def _node(data: bytes) -> Node:
    for number, value in _members(data):
        if isinstance(value, bytes):
            match number:
                case 3:
                    return _constant(value)
                case 4:
                    return Name(_text(value, 1))
                case 5:
                    test = any(found == (3, 1) for found in _members(value))
                    return Select(_node(_one(value, 1)), _text(value, 2), test)
                case 6:
                    target = [_node(each) for each in _all(value, 1)]
                    return Call(_text(value, 2), (*target, *(_node(each) for each in _all(value, 3))))
                case 7:
                    return Listed(tuple(_node(each) for each in _all(value, 1)))
                case 8:
                    return Mapped(tuple(_node(part) for entry in _all(value, 2) for part in _entry(entry)))
                case 9:
                    return _loop(value)
    return Constant()


def _constant(data: bytes) -> Constant:
    for number, value in _members(data):
        if number in (6, 7) and isinstance(value, bytes):
            return Constant(len(value), value.decode() if number == 6 else "")
    return Constant()


def _entry(data: bytes) -> Iterator[bytes]:
    yield from _all(data, 3)
    yield from _all(data, 4)


def _loop(data: bytes) -> Loop:
    return Loop(
        range=_node(_one(data, 2)),
        variables=tuple(name for name in (_text(data, 1), _text(data, 8)) if name),
        total=_text(data, 3),
        begin=_node(_one(data, 4)),
        condition=_node(_one(data, 5)),
        step=_node(_one(data, 6)),
        result=_node(_one(data, 7)),
    )


# --- the wire format -----------------------------------------------------------------------------------------------------


def _text(data: bytes, number: int) -> str:
    return _one(data, number).decode()


def _one(data: bytes, number: int) -> bytes:
    return next(_all(data, number), b"")


def _all(data: bytes, number: int) -> Iterator[bytes]:
    return (value for found, value in _members(data) if found == number and isinstance(value, bytes))


def _members(data: bytes) -> Iterator[_Member]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 2:
                size, at = _varint(data, at)
                yield tag >> 3, data[at : at + size]
                at += size
            case wire:
                at += 8 if wire == 1 else 4


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
