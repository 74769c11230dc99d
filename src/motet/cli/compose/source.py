"""YAML with the line of every value kept, so that each complaint can point at its place.

Scalars stay text until a reader says what it expects: Compose's `22:22` is a port mapping and never a base-60 number, and
variables are filled in before anything is typed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from motet.base.errors import MotetError
from motet.cli.compose import refusals

RESET, OVERRIDE = "!reset", "!override"
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
# How nothing is written where a tag of Compose hides it.
_NULLS = ("", "null", "Null", "NULL", "~")
_DEEPEST = 64
# Aliases can make a small file unfold without end.
_MOST_VALUES = 100_000

# libyaml's is the same, and faster, where PyYAML was built with it.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_Measure = TypeVar("_Measure")


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint about one place of a file. `line` counts from 1."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ComposeError(MotetError):
    """The file cannot be used; every problem found is listed."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a value was written: the file, the folder that its paths start from, and the variables of that file."""

    file: str
    folder: Path = Path()
    variables: Mapping[str, str] = field(default_factory=dict)

    def path(self, text: str) -> Path:
        """A path of the file, absolute unless the folder is not."""
        return self.folder / Path(text).expanduser()


NOWHERE = Origin("")


@dataclass(slots=True)
class Value:
    """A node of the tree: text, a list, a map, or nothing. `quoted` text is never taken for a number or a truth value.

    `tag` is RESET or OVERRIDE where the file says what becomes of this key of the files before it.
    """

    path: str
    line: int
    content: str | list[Value] | dict[str, Value] | None
    quoted: bool = False
    origin: Origin = NOWHERE
    tag: str = ""

    @property
    def is_map(self) -> bool:
        return isinstance(self.content, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.content, list)

    def described(self) -> str:
        """What it is, for a sentence that says what was expected instead."""
        match self.content:
            case None:
                return "nothing"
            case str():
                return f"{self.content!r}"
            case list():
                return "a list"
            case _:
                return "a map"


@dataclass(slots=True)
class Source:
    """Files being read, and what is wrong with them so far; `file` is the first of them."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def problem(self, at: Value, message: str) -> None:
        self.problems.append(Problem(at.origin.file or self.file, at.line, at.path, message))

    def check(self) -> None:
        """Raises ComposeError when anything was wrong."""
        if self.problems:
            raise ComposeError(
                sorted(self.problems, key=lambda item: (item.file != self.file, item.file, item.line, item.path))
            )


def load(path: Path, origin: Origin, fill_in: Callable[[str], str]) -> Value:
    """Read a file. `fill_in` replaces variables in a text and raises ValueError. Raises ComposeError."""
    source = Source(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ComposeError([Problem(str(path), 1, "", "there is no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeError([Problem(str(path), 1, "", f"cannot be read: {error}")]) from error
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ComposeError([Problem(str(path), line, "", f"not valid YAML: {error.problem or error}")]) from error
    except yaml.YAMLError as error:
        raise ComposeError([Problem(str(path), 1, "", f"not valid YAML: {error}")]) from error
    if node is None:
        raise ComposeError([Problem(str(path), 1, "", "the file is empty; expected a map with `services`")])
    value = _Reader(source, origin, fill_in).value(node, "", 0)
    source.check()
    return value


class _Reader:
    def __init__(self, source: Source, origin: Origin, fill_in: Callable[[str], str]) -> None:
        self._source = source
        self._origin = origin
        self._fill_in = fill_in
        self._count = 0

    def value(self, node: Node, path: str, depth: int) -> Value:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > _MOST_VALUES:
            where = [Problem(self._source.file, line, path, f"the file unfolds to more than {_MOST_VALUES} values")]
            raise ComposeError(where)
        if depth > _DEEPEST:
            at = Value(path, line, None)
            self._source.problem(at, f"nested deeper than {_DEEPEST} levels")
            return at
        tag = node.tag if node.tag in (RESET, OVERRIDE) else ""
        if isinstance(node, MappingNode):
            return Value(path, line, self._map(node, path, depth), origin=self._origin, tag=tag)
        if isinstance(node, SequenceNode):
            items = [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
            return Value(path, line, list(items), origin=self._origin, tag=tag)
        assert isinstance(node, ScalarNode)
        quoted = node.style in ("'", '"', "|", ">")
        if not quoted and (node.tag == _NULL or (tag and node.value in _NULLS)):
            return Value(path, line, None, origin=self._origin, tag=tag)
        text = Value(path, line, node.value, quoted, self._origin, tag)
        try:
            text.content = self._fill_in(node.value)
        except ValueError as error:
            self._source.problem(text, str(error))
        return text

    def _map(self, node: MappingNode, path: str, depth: int) -> dict[str, Value]:
        merged: dict[str, Value] = {}
        own: dict[str, Value] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                for part in value_node.value if isinstance(value_node, SequenceNode) else (value_node,):
                    if isinstance(part, MappingNode):
                        for key, value in self._map(part, path, depth + 1).items():
                            merged.setdefault(key, value)
                continue
            if not isinstance(key_node, ScalarNode):
                self._source.problem(Value(path, line, None), "a key must be text")
                continue
            key = key_node.value
            below = f"{path}.{key}" if path else key
            if key in own:
                self._source.problem(Value(below, line, None), f"the key {key!r} appears twice")
                continue
            value = self.value(value_node, below, depth + 1)
            # A value on lines of its own is still found by its key.
            value.line = line if value_node.start_mark.line + 1 >= line and not value.is_list else value.line
            own[key] = value
        return merged | own


@dataclass(slots=True)
class Fields:
    """A map being read field by field; what nobody asked for is reported as not supported yet."""

    source: Source
    at: Value
    _asked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not self.at.is_map:
            self.source.problem(self.at, f"expected a map, found {self.at.described()}")
            self.at = Value(self.at.path, self.at.line, {})

    @property
    def items(self) -> dict[str, Value]:
        assert isinstance(self.at.content, dict)
        return self.at.content

    def get(self, key: str) -> Value | None:
        """The value of a key, None when absent or empty."""
        self._asked.add(key)
        found = self.items.get(key)
        return None if found is None or found.content is None else found

    def has(self, key: str) -> bool:
        return key in self.items

    def text(self, key: str, default: str = "") -> str:
        found = self.get(key)
        return default if found is None else text(self.source, found)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        found = self.get(key)
        if found is None:
            return default
        chosen = text(self.source, found)
        if chosen not in choices:
            self.source.problem(found, f"{chosen!r} is not supported; expected one of {', '.join(choices)}")
            return default
        return chosen

    def number(self, key: str, default: int = 0, *, least: int = 0) -> int:
        found = self.get(key)
        if found is None:
            return default
        content = text(self.source, found)
        try:
            value = int(content)
        except ValueError:
            self.source.problem(found, f"expected a whole number, found {content!r}")
            return default
        if value < least:
            self.source.problem(found, f"expected at least {least}, found {value}")
            return default
        return value

    def truth(self, key: str, default: bool = False) -> bool:
        found = self.get(key)
        return default if found is None else truth(self.source, found)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, or a single one."""
        found = self.get(key)
        if found is None:
            return ()
        if isinstance(found.content, list):
            return tuple(text(self.source, item) for item in found.content)
        return (text(self.source, found),)

    def fields(self, key: str) -> Fields | None:
        found = self.get(key)
        return None if found is None else Fields(self.source, found)

    def each(self, key: str) -> Iterator[tuple[str, Value]]:
        """The entries of a map of named things."""
        found = self.get(key)
        if found is None:
            return
        if not isinstance(found.content, dict):
            self.source.problem(found, f"expected a map, found {found.described()}")
            return
        yield from found.content.items()

    def measured(self, key: str, read: Callable[[str], _Measure]) -> _Measure | None:
        """What `read` makes of a text; None when it is not there or `read` raises ValueError, which is noted."""
        found = self.get(key)
        if found is None:
            return None
        try:
            return read(text(self.source, found))
        except ValueError as error:
            self.source.problem(found, str(error))
            return None

    def pairs(self, key: str, inherited: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
        """A map, or a list of NAME=VALUE. A name alone takes its value from `inherited`, if it is there."""
        at = self.get(key)
        if at is None:
            return
        if isinstance(at.content, dict):
            pairs = [
                (name, None if value.content is None else text(self.source, value))
                for name, value in at.content.items()
            ]
        elif isinstance(at.content, list):
            split = [text(self.source, item).partition("=") for item in at.content]
            pairs = [(name, value if found else None) for name, found, value in split]
        else:
            self.source.problem(at, f"expected a map or a list, found {at.described()}")
            return
        for name, value in pairs:
            if value is not None:
                yield name, value
            elif inherited is None:
                yield name, ""
            elif name in inherited:
                yield name, inherited[name]

    def listed(self, key: str) -> Iterator[Value]:
        """The items of a list."""
        at = self.get(key)
        if at is None:
            return
        if not isinstance(at.content, list):
            self.source.problem(at, f"expected a list, found {at.described()}")
            return
        yield from at.content

    def finish(self, why: str = "") -> None:
        """Name every key that was not asked for, and why not. Keys that start with `x-` are the user's own."""
        for key, value in self.items.items():
            if key not in self._asked and not key.startswith("x-"):
                self.source.problem(value, why or self._why(key, value))

    def _why(self, key: str, value: Value) -> str:
        if why := refusals.why(value.path):
            return f"not supported: {why}"
        near = difflib.get_close_matches(key, self._asked, 1)
        return f"there is no such key{f'; did you mean `{near[0]}`?' if near else ''}"


def text(source: Source, at: Value) -> str:
    """The value as text; lists and maps are refused."""
    if isinstance(at.content, str):
        return at.content
    if at.content is not None:
        source.problem(at, f"expected text, found {at.described()}")
    return ""


def truth(source: Source, at: Value) -> bool:
    """`true` or `false`; YAML 1.1's other spellings of them are read too."""
    content = text(source, at).lower()
    if content in ("true", "yes", "on", "y"):
        return True
    if content not in ("false", "no", "off", "n"):
        source.problem(at, f"expected true or false, found {content!r}")
    return False
