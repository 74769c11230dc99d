"""Constraints on a node's identifier or address, which are Docker's alone: an App knows nodes by their names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from motet.dialects.docker import ids
from motet.store.document import Document

_ABOUT = re.compile(r"\s*node\.(id|ip)\s*(==|!=)\s*(\S+)\s*")


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    address: str = ""


class _Status(msgspec.Struct, gc=False, frozen=True):
    addresses: tuple[_Address, ...] | None = None


class _NodeView(msgspec.Struct, gc=False, frozen=True):
    status: _Status = _Status()


def names_of(nodes: Iterable[Document]) -> dict[str, str]:
    """The names of nodes by their identifiers and addresses."""
    found = {}
    for each in nodes:
        addresses = each.view(_NodeView).status.addresses or ()
        found[ids.of_document(each)] = each.name
        found |= {known.address: each.name for known in addresses if known.type == "InternalIP"}
    return found


def about_one(text: str) -> bool:
    """Whether a constraint is of this kind."""
    return _ABOUT.fullmatch(text) is not None


def by_name(text: str, nodes: Mapping[str, str]) -> str:
    """The constraint as an App says it; one of another kind stays as it is. `nodes` is what `names_of` gives.

    Raises ValueError for a network of addresses and LookupError for a node that is not there, saying so.
    """
    found = _ABOUT.fullmatch(text)
    if found is None:
        return text
    subject, operator, value = found.groups()
    if subject == "ip" and "/" in value:
        raise ValueError("networks; name one address, or use node.labels")
    if value not in nodes:
        raise LookupError(f"there is no node {'with the address ' if subject == 'ip' else ''}{value}")
    return f"node.name {operator} {nodes[value]}"
