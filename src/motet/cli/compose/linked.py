"""What services of a file say of each other: `links` and `volumes_from`. Both also make one wait for the other to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from motet.cli.compose import networks
from motet.cli.compose.model import Joined, Mount, Service
from motet.cli.compose.source import Fields, Source, Value


def resolve(source: Source, fields: Fields, services: Iterable[Service]) -> tuple[Service, ...]:
    """The services with the aliases that links give them and the mounts that they have of others."""
    found = {service.name: service for service in services}
    places = dict(fields.each("services"))
    for name in list(found):
        for key, asked in (("links", found[name].links), ("volumes_from", found[name].mounts_of)):
            for other, _ in asked:
                if other not in found or other == name:
                    source.problem(_below(places[name], key), f"there is no service {other!r}")
    for name, service in list(found.items()):
        others = [other for other, _ in (*service.links, *service.mounts_of) if other in found and other != name]
        told = {other for other, _ in service.depends_on}
        waits = tuple((other, "started") for other in dict.fromkeys(others) if other not in told)
        mounts = _with_others(source, _below(places[name], "volumes_from"), service, found)
        found[name] = replace(service, depends_on=(*service.depends_on, *waits), mounts=mounts)
    for name in list(found):
        for other, alias in found[name].links:
            if other in found and alias != other:
                _link(source, _below(places[name], "links"), found, name, other, alias)
    return tuple(found.values())


def _link(source: Source, at: Value, found: dict[str, Service], name: str, other: str, alias: str) -> None:
    """Let `other` be known by `alias` on the networks where both are."""
    if problem := networks.alias_problem(alias):
        source.problem(at, f"the alias {alias!r}: {problem}")
        return
    if alias in found or any(
        alias in each.aliases for service in found.values() if service.name != other for each in service.networks
    ):
        source.problem(at, f"{alias!r} is another service here; choose another alias")
        return
    mine = {each.network for each in found[name].networks or (Joined(networks.DEFAULT),)}
    theirs = found[other].networks or (Joined(networks.DEFAULT),)
    if not any(each.network in mine for each in theirs):
        source.problem(at, f"{name!r} and {other!r} are on no network together")
    found[other] = replace(
        found[other],
        networks=tuple(networks.called(each, alias) if each.network in mine else each for each in theirs),
    )


def _with_others(source: Source, at: Value, service: Service, found: Mapping[str, Service]) -> tuple[Mount, ...]:
    mounts = {mount.target: mount for mount in service.mounts}
    for other, read_only in service.mounts_of:
        for mount in found[other].mounts if other in found else ():
            if mount.kind == "tmpfs" or not mount.source:
                source.problem(
                    at, f"{mount.target} of {other!r} is each of its containers' own; give it a named volume"
                )
            mounts.setdefault(mount.target, replace(mount, read_only=read_only or mount.read_only))
    return tuple(mounts.values())


def _below(at: Value, key: str) -> Value:
    return at.content.get(key, at) if isinstance(at.content, dict) else at
