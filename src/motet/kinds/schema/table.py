"""The table of definitions: find a schema by name or by kind, and add more of them.

The shipped table covers every group of Kubernetes 1.37 (858 definitions in 140 KB of text). Loading it only splits lines;
a definition is parsed when it is first asked for. Motet's own kinds call `register` when their module is imported,
custom resources `add` and `remove` while the manager runs. Not for use from several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources

from motet.kinds.schema import notation
from motet.kinds.schema.model import GroupVersionKind, Schema

META = "io.k8s.apimachinery.pkg.apis.meta.v1."


class UnknownDefinition(LookupError):
    """No definition has this name: a mistake in a kind's module, not in a request."""


class Table:
    """Definitions by name. Names resolve inside the table they are in."""

    def __init__(self, text: str = "") -> None:
        self._bodies: dict[str, str] = {}
        self._parsed: dict[str, Schema] = {}
        self._by_kind: dict[GroupVersionKind, str] = {}
        self.register(text)

    def register(self, text: str) -> None:
        """Add the definitions in `text` (see `notation`); a name already there is replaced."""
        for name, body in notation.split(text):
            self._bodies[name] = body
            self._parsed.pop(name, None)
            for kind in notation.kinds_of(body):
                self._by_kind[kind] = name

    def add(self, schema: Schema) -> None:
        """Add a ready schema under its own name and kinds: a custom resource's."""
        self._parsed[schema.name] = schema
        for kind in schema.kinds:
            self._by_kind[kind] = schema.name

    def remove(self, name: str) -> None:
        """Forget a definition; nothing happens when there is none."""
        self._bodies.pop(name, None)
        self._parsed.pop(name, None)
        for kind in [kind for kind, owner in self._by_kind.items() if owner == name]:
            del self._by_kind[kind]

    def get(self, name: str) -> Schema:
        """The schema of this full name. Raises UnknownDefinition."""
        schema = self._parsed.get(name)
        if schema is None:
            body = self._bodies.get(name)
            if body is None:
                raise UnknownDefinition(f"no definition is called {name!r}")
            schema = self._parsed[name] = notation.parse(name, body, self.get)
        return schema

    def find(self, api_version: str, kind: str) -> Schema | None:
        """The schema of `apps/v1`, `Deployment`; None when the kind is not in the table."""
        group, _, version = api_version.rpartition("/")
        name = self._by_kind.get(GroupVersionKind(group, version, kind)) or self._by_kind.get(
            GroupVersionKind("*", "*", kind)
        )
        return self.get(name) if name else None

    def __contains__(self, name: str) -> bool:
        return name in self._parsed or name in self._bodies

    def __iter__(self) -> Iterator[str]:
        """Every name, registered order."""
        return iter({**self._bodies, **self._parsed})


@cache
def shipped() -> Table:
    """The one table of this process, loaded on first use."""
    source = resources.files("motet.kinds.schema").joinpath("definitions.txt")
    return Table(source.read_text(encoding="utf-8"))


def get(name: str) -> Schema:
    """The schema called `name`, for instance `io.k8s.api.core.v1.Pod`. Raises UnknownDefinition."""
    return shipped().get(name)


def find(api_version: str, kind: str) -> Schema | None:
    """The schema of a kind, for instance of `apps/v1` `Deployment`; None when the table has none."""
    return shipped().find(api_version, kind)


def register(text: str) -> None:
    """Add definitions written in the compact form of `notation`. Kinds of Motet's own do this in their module."""
    shipped().register(text)


def add(schema: Schema) -> None:
    """Add a schema made elsewhere, such as a custom resource's."""
    shipped().add(schema)


def remove(name: str) -> None:
    """Forget a custom resource's schema."""
    shipped().remove(name)
