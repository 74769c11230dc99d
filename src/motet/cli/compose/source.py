"""YAML with the line of every value kept, so that each complaint can point at its place.

Scalars stay text until a reader says what it expects: Compose's `22:22` is a port mapping and never a base-60 number, and
variables are filled in before anything is typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from motet.base.errors import MotetError

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"
_DEEPEST = 64
# Aliases can make a small file unfold without end.
_MOST_VALUES = 100_000


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


@dataclass(slots=True)
class Value:
    """A node of the tree: text, a list, a map, or nothing. `quoted` text is never taken for a number or a truth value."""

    path: str
    line: int
    content: str | list[Value] | dict[str, Value] | None
    quoted: bool = False

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
    """One file being read, and what is wrong with it so far."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def problem(self, at: Value, message: str) -> None:
        self.problems.append(Problem(self.file, at.line, at.path, message))

    def check(self) -> None:
        """Raises ComposeError when anything was wrong."""
        if self.problems:
            raise ComposeError(sorted(self.problems, key=lambda item: (item.line, item.path)))


def load(path: Path, fill_in: Callable[[str], str]) -> tuple[Source, Value]:
    """Read a file. `fill_in` replaces variables in a text and raises ValueError. Raises ComposeError."""
    source = Source(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ComposeError([Problem(str(path), 1, "", "there is no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeError([Problem(str(path), 1, "", f"cannot be read: {error}")]) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ComposeError([Problem(str(path), line, "", f"not valid YAML: {error.problem or error}")]) from error
    except yaml.YAMLError as error:
        raise ComposeError([Problem(str(path), 1, "", f"not valid YAML: {error}")]) from error
    if node is None:
        raise ComposeError([Problem(str(path), 1, "", "the file is empty; expected a map with `services`")])
    value = _Reader(source, fill_in).value(node, "", 0)
    source.check()
    return source, value


class _Reader:
    def __init__(self, source: Source, fill_in: Callable[[str], str]) -> None:
        self._source = source
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
        if isinstance(node, MappingNode):
            return Value(path, line, self._map(node, path, depth))
        if isinstance(node, SequenceNode):
            items = [self.value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
            return Value(path, line, list(items))
        assert isinstance(node, ScalarNode)
        quoted = node.style in ("'", '"', "|", ">")
        if node.tag == _NULL and not quoted:
            return Value(path, line, None)
        text = Value(path, line, node.value, quoted)
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

    def finish(self) -> None:
        """Name every key that was not asked for. Keys that start with `x-` are the user's own."""
        for key, value in self.items.items():
            if key not in self._asked and not key.startswith("x-"):
                self.source.problem(value, "this key is not supported yet")


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
