"""`extra_hosts`: further names for addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import cast

from motet.cli.compose.merge import named
from motet.cli.compose.source import Fields, Value, text


def read(fields: Fields) -> Iterator[tuple[str, str]]:
    """(name, address), written `NAME:ADDRESS`, `NAME=ADDRESS`, or as a map, also with several addresses to a name."""
    at = fields.get("extra_hosts")
    if at is None:
        return
    pairs = named(at).content
    if not isinstance(pairs, dict):
        fields.source.problem(at, f"expected a map or a list, found {at.described()}")
        return
    for name, value in pairs.items():
        for one in cast("list[Value]", value.content) if value.is_list else [value]:
            address = text(fields.source, one).removeprefix("[").removesuffix("]")
            if _is_address(address):
                yield name, address
            else:
                fields.source.problem(at, f"expected NAME:ADDRESS with an IP address, found {name}:{address}")


def _is_address(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
