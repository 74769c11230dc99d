"""The `filters` parameter of lists: JSON in either of two forms, `{"name": {"web": true}}` or `{"name": ["web"]}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from motet.dialects.docker.errors import bad


class Filters:
    """What was asked for; every term of one key is an alternative, but labels, of which all must hold."""

    def __init__(self, terms: Mapping[str, tuple[str, ...]]) -> None:
        self._terms = terms

    @classmethod
    def parse(cls, text: str, allowed: Iterable[str]) -> Filters:
        """Raises DockerError for what is no filter, or not one of `allowed`."""
        if not text:
            return cls({})
        try:
            given = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]])
        except msgspec.MsgspecError as error:
            raise bad(f"invalid filter: {error}") from error
        allowed = frozenset(allowed)
        for key in given:
            if key not in allowed:
                raise bad(f"invalid filter '{key}'")
        return cls(
            {
                key: tuple(values) if isinstance(values, list) else tuple(each for each, on in values.items() if on)
                for key, values in given.items()
            }
        )

    def __contains__(self, key: str) -> bool:
        return key in self._terms

    def values(self, key: str) -> tuple[str, ...]:
        return self._terms.get(key, ())

    def matches(self, key: str, *candidates: str) -> bool:
        """Whether one of the values is one of the candidates; true when nothing was asked."""
        wanted = self._terms.get(key)
        return not wanted or any(each in candidates for each in wanted)

    def begins(self, key: str, *candidates: str) -> bool:
        """Whether a candidate begins with one of the values: how Swarm's names and ids are looked for."""
        wanted = self._terms.get(key)
        return not wanted or any(candidate.startswith(each) for each in wanted for candidate in candidates)

    def contains(self, key: str, *candidates: str) -> bool:
        """Whether one of the values is part of a candidate: how networks, volumes and containers are looked for."""
        wanted = self._terms.get(key)
        return not wanted or any(each in candidate for each in wanted for candidate in candidates)

    def labels(self, labels: Mapping[str, str], key: str = "label") -> bool:
        """Whether all `KEY` or `KEY=VALUE` hold."""
        for term in self._terms.get(key, ()):
            name, equals, value = term.partition("=")
            if name not in labels or (equals and labels[name] != value):
                return False
        return True

    def truth(self, key: str) -> bool | None:
        """A yes or no; None when nothing was asked. Raises DockerError."""
        values = self._terms.get(key)
        if not values:
            return None
        if any(each not in ("true", "false", "1", "0") for each in values):
            raise bad(f"invalid filter '{key}={values[0]}'")
        found = {each in ("true", "1") for each in values}
        return found.pop() if len(found) == 1 else None
