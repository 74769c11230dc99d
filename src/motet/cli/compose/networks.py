"""Networks of a Compose file: the top-level ones, and those that a service says it is on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from motet.base import names
from motet.cli.compose.external import is_external, old_name
from motet.cli.compose.model import Joined, Network
from motet.cli.compose.source import Fields, Source, Value
from motet.kinds import attachments

# The one that a service is on when it names none.
DEFAULT = "default"


def declared(fields: Fields, project: str) -> Iterator[Network]:
    """Those of the top level; and the project's own if it is not there, which costs nothing where nobody uses it."""
    found = [_network(fields.source, key, value, project) for key, value in fields.each("networks")]
    if all(network.key != DEFAULT for network in found):
        found.append(Network(DEFAULT, f"{project}_{DEFAULT}"))
    kernel_names: dict[str, str] = {}
    for network in found:
        if network.external:
            continue
        other = kernel_names.setdefault(object_name(network, project), network.key)
        if other != network.key:
            at = fields.items["networks"].content
            assert isinstance(at, dict)
            fields.source.problem(
                at.get(network.key, fields.at), f"the name {network.name!r} belongs to network {other!r} already"
            )
    yield from found


def object_name(network: Network, project: str) -> str:
    """The name of the Network document, in the project's namespace."""
    own = network.key if network.name == f"{project}_{network.key}" else network.name
    return own.replace("_", "-").replace(".", "-").lower()


def joined(source: Source, fields: Fields) -> tuple[Joined, ...]:
    """What a service says: a list of networks, or a map with aliases."""
    at = fields.get("networks")
    found: tuple[Joined, ...] = ()
    if at is not None and not at.is_map:
        found = tuple(Joined(key) for key in fields.texts("networks"))
    elif at is not None:
        found = tuple(Joined(key, _aliases(source, value)) for key, value in fields.each("networks"))
    if not (name := fields.text("container_name")):
        return found
    # Containers are found by their names, too.
    if problem := alias_problem(name):
        source.problem(fields.items["container_name"], f"the name {name!r}: {problem}")
        return found
    return tuple(called(each, name) for each in found or (Joined(DEFAULT),))


def called(joined: Joined, alias: str) -> Joined:
    """The same network with a further name there."""
    return Joined(joined.network, tuple(dict.fromkeys((*joined.aliases, alias.lower()))))


def alias_problem(alias: str) -> str:
    """What is wrong with an alias, in words; empty when nothing is."""
    if re.search(r"[\s,=]", alias):
        return "it has blanks, commas or `=`"
    try:
        attachments.parse(f"{DEFAULT}={alias.lower()}", "")
    except ValueError as error:
        return str(error)
    return ""


def _network(source: Source, key: str, at: Value, project: str) -> Network:
    if at.content is None:
        made = Network(key, f"{project}_{key}", at.line)
    else:
        fields = Fields(source, at)
        name = fields.text("name")
        if is_external(fields):
            made = Network(key, old_name(fields) or name or key, at.line, external=True)
            fields.finish("an external network is somebody else's, who says what it is; leave this out")
        else:
            fields.choice("driver", ("bridge", "overlay"), "bridge")
            _addresses(fields)
            made = Network(
                key,
                name or f"{project}_{key}",
                at.line,
                internal=fields.truth("internal"),
                attachable=fields.truth("attachable"),
                encrypted=_encrypted(fields),
                labels=tuple(fields.pairs("labels")),
            )
            fields.finish()
    if not made.external and (problem := names.label_error(object_name(made, project))):
        source.problem(at, f"the network name {made.name!r}: {problem}")
    return made


def _addresses(fields: Fields) -> None:
    """Addresses are the cluster's; what asks for no others is fine."""
    if (ipam := fields.fields("ipam")) is not None:
        ipam.choice("driver", ("default",), "default")
        ipam.finish()
    for key, so in (("enable_ipv4", True), ("enable_ipv6", False)):
        if fields.truth(key, so) is not so:
            fields.source.problem(fields.items[key], f"only {str(so).lower()} is possible: addresses are the cluster's")


def _encrypted(fields: Fields) -> bool:
    """Docker's option is on when it is there, with nothing or a word for yes behind it."""
    options = fields.fields("driver_opts")
    if options is None:
        return False
    wanted = "encrypted" in options.items
    value = options.get("encrypted")
    options.finish()
    return wanted and (value is None or value.content == "" or options.truth("encrypted"))


def _aliases(source: Source, at: Value) -> tuple[str, ...]:
    if at.content is None:
        return ()
    fields = Fields(source, at)
    where = fields.get("aliases") or at
    found = fields.texts("aliases")
    for alias in found:
        if problem := alias_problem(alias):
            source.problem(where, f"the alias {alias!r}: {problem}")
    # There is one interface for all networks, and so neither an order among them nor a choice of gateways.
    for key in ("priority", "gw_priority"):
        fields.number(key)
    # The service's own name is always one.
    if not fields.truth("use_service_name_alias", True):
        source.problem(fields.items["use_service_name_alias"], "a service is always found by its name")
    fields.finish()
    return tuple(alias.lower() for alias in found)
