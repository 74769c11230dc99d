"""Reading a request's JSON so that nothing in it is passed over.

Every field is taken by name; what nobody took and is not empty is refused by its path (`finish`). Go's clients send zero values
of all fields, so null, false, 0, "", [] and {} count as not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from motet.dialects.docker.errors import bad, unsupported

Json = dict[str, Any]


def is_zero(value: Any) -> bool:
    """Whether a Go client may have sent this without anybody having said it: zero values, and objects of nothing but those."""
    if isinstance(value, Mapping):
        return all(is_zero(each) for each in value.values())
    return value is None or value is False or value in (0, "") or value == []


class Fields:
    """One object of a request. Every getter raises DockerError 400 for a value of the wrong type."""

    def __init__(self, value: Any, path: str = "") -> None:
        if value is not None and not isinstance(value, dict):
            raise bad(f"{path or 'the body'}: expected an object")
        self.items: dict[str, Any] = {} if value is None else value
        self.path = path
        self._taken: set[str] = set()

    def at(self, name: str) -> str:
        """The path of a field, for errors."""
        return f"{self.path}.{name}" if self.path else name

    def _take(self, name: str) -> Any:
        """The value as it came, None when it is missing.

        Docker's own decoder (Go's) takes names in any case, and some clients count on it (docker-py writes `replicated`). The
        object then has the name that was asked for, so that whoever keeps it has one spelling.
        """
        self._taken.add(name)
        if name not in self.items and (other := self._folded().get(name.lower())) is not None:
            self.items[name] = self.items.pop(other)
        return self.items.get(name)

    def _folded(self) -> dict[str, str]:
        return {key.lower(): key for key in self.items if key not in self._taken}

    def raw(self, name: str) -> Any:
        """The value as it came; None when it is missing or zero."""
        value = self._take(name)
        return None if is_zero(value) else value

    def given(self, name: str) -> bool:
        """Whether the field is there with anything but null, be it zero."""
        return self._take(name) is not None

    def text(self, name: str, default: str = "") -> str:
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise bad(f"{self.at(name)}: expected a string")
        return value

    def choice(self, name: str, known: Iterable[str], default: str = "") -> str:
        value = self.text(name, default)
        if value and value not in (options := tuple(known)):
            raise bad(f"{self.at(name)}: {value!r} is none of {', '.join(options)}")
        return value

    def number(self, name: str, default: int = 0) -> int:
        """An integer; floats without a fraction, as JavaScript sends them, are one."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad(f"{self.at(name)}: expected an integer")
        return value

    def natural(self, name: str, default: int = 0) -> int:
        value = self.number(name, default)
        if value < 0:
            raise bad(f"{self.at(name)}: {value} is negative")
        return value

    def ratio(self, name: str, default: float = 0.0) -> float:
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad(f"{self.at(name)}: expected a number")
        return float(value)

    def truth(self, name: str, default: bool = False) -> bool:
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise bad(f"{self.at(name)}: expected true or false")
        return value

    def texts(self, name: str) -> list[str]:
        value = self.raw(name)
        if value is None:
            return []
        if (
            not isinstance(value, Sequence)
            or isinstance(value, str)
            or not all(isinstance(each, str) for each in value)
        ):
            raise bad(f"{self.at(name)}: expected a list of strings")
        return list(value)

    def map(self, name: str) -> dict[str, str]:
        value = self.raw(name)
        if value is None:
            # A map of empty values only looks like nothing.
            value = self.items.get(name) or {}
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
            raise bad(f"{self.at(name)}: expected an object of strings")
        return dict(value)

    def fields(self, name: str) -> Fields:
        """The object in a field; an empty one when it is missing."""
        return Fields(self._take(name), self.at(name))

    def each(self, name: str) -> list[Fields]:
        """The objects of a list."""
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise bad(f"{self.at(name)}: expected a list")
        return [Fields(each, f"{self.at(name)}[{index}]") for index, each in enumerate(value)]

    def refuse(self, why: str, *names: str) -> None:
        """Raise when one of these fields says anything."""
        for name in names:
            if self.raw(name) is not None:
                raise unsupported(self.at(name), why)

    def ignore(self, *names: str) -> None:
        """Fields that say nothing here: what the daemon itself passes over, too."""
        for name in names:
            self._take(name)

    def finish(self) -> None:
        """Raise for the first field that nobody took and that says something."""
        for name, value in self.items.items():
            if name not in self._taken and not is_zero(value):
                raise unsupported(self.at(name))
