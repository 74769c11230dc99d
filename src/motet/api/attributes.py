"""What an authorizer is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from motet.base.selectors import EVERYTHING, FieldSelector, Selector


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for. `path` alone is set for requests that are not about a resource.

    `fields` and `labels` are what a list or watch is narrowed to; empty for other verbs and where nobody looks at them.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    fields: FieldSelector = FieldSelector()
    labels: Selector = EVERYTHING

    @property
    def one_name(self) -> str:
        """The only name a request can be about: that of its path, or the one its field selector leaves."""
        if self.name:
            return self.name
        for term in self.fields.terms:
            if term.path == "metadata.name" and not term.negated:
                return term.value
        return ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """`missing`: what is asked for does not exist, which the caller may know (404 instead of 403)."""

    allowed: bool
    reason: str = ""
    missing: bool = False
