"""Networks of a Compose file: the top-level ones, and those that a service says it is on."""

from __future__ import annotations

from collections.abc import Iterator

from motet.base import names
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
    if at is None:
        return ()
    if not at.is_map:
        return tuple(Joined(key) for key in fields.texts("networks"))
    return tuple(Joined(key, tuple(_aliases(source, value))) for key, value in fields.each("networks"))


def _network(source: Source, key: str, at: Value, project: str) -> Network:
    if at.content is None:
        made = Network(key, f"{project}_{key}", at.line)
    else:
        fields = Fields(source, at)
        name = fields.text("name")
        if _external(fields):
            made = Network(key, _old_name(fields) or name or key, at.line, external=True)
        else:
            fields.choice("driver", ("bridge", "overlay"), "bridge")
            fields.get("labels")
            made = Network(
                key,
                name or f"{project}_{key}",
                at.line,
                internal=fields.truth("internal"),
                attachable=fields.truth("attachable"),
                encrypted=_encrypted(fields),
            )
        fields.finish()
    if not made.external and (problem := names.label_error(object_name(made, project))):
        source.problem(at, f"the network name {made.name!r}: {problem}")
    return made


def _external(fields: Fields) -> bool:
    at = fields.get("external")
    return at is not None and (at.is_map or fields.truth("external"))


def _old_name(fields: Fields) -> str:
    """`external: {name: NAME}`, as files of version 2 have it."""
    at = fields.get("external")
    if at is None or not at.is_map:
        return ""
    old = Fields(fields.source, at)
    name = old.text("name")
    old.finish()
    return name


def _encrypted(fields: Fields) -> bool:
    """Docker's option is on when it is there, with nothing or a word for yes behind it."""
    options = fields.fields("driver_opts")
    if options is None:
        return False
    wanted = "encrypted" in options.items
    value = options.get("encrypted")
    options.finish()
    return wanted and (value is None or value.content == "" or options.truth("encrypted"))


def _aliases(source: Source, at: Value) -> Iterator[str]:
    if at.content is None:
        return
    fields = Fields(source, at)
    where = fields.get("aliases") or at
    for alias in fields.texts("aliases"):
        try:
            attachments.parse(f"{DEFAULT}={alias.lower()}", "")
        except ValueError as error:
            source.problem(where, f"the alias {alias!r}: {error}")
        yield alias.lower()
    fields.finish()
