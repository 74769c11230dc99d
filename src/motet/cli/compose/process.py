"""The program of a service: its words, its environment, its health check and its hooks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from motet.cli.compose import units
from motet.cli.compose.interpolate import read_env_file
from motet.cli.compose.model import HealthCheck
from motet.cli.compose.source import Fields, Value, text

_SHELL = ("/bin/sh", "-c")


def words(fields: Fields, key: str) -> tuple[str, ...] | None:
    """A command as a list, or as text that is split as a shell would."""
    at = fields.get(key)
    if at is None:
        return None
    if at.is_list:
        return fields.texts(key)
    try:
        return tuple(shlex.split(text(fields.source, at)))
    except ValueError as error:
        fields.source.problem(at, f"cannot be split into words: {error}")
        return ()


def environment(service: Fields) -> Iterator[tuple[str, str]]:
    """`env_file`, and `environment` before it."""
    collected: dict[str, str] = {}
    for item in _each(service, "env_file"):
        collected |= _env_file(service, item)
    given = service.get("environment")
    collected |= service.pairs("environment", given.origin.variables if given is not None else {})
    yield from collected.items()


def labels(service: Fields) -> Iterator[tuple[str, str]]:
    """`label_file`, and `labels` before it."""
    collected: dict[str, str] = {}
    for item in _each(service, "label_file"):
        collected |= _file(service, item, text(service.source, item), labels=True)
    yield from (collected | dict(service.pairs("labels"))).items()


def health(service: Fields) -> HealthCheck | None:
    """The check, with an empty command where it is switched off."""
    check = service.fields("healthcheck")
    if check is None:
        return None
    command = _test(check)
    if check.truth("disable"):
        command = ()
    made = HealthCheck(
        command,
        interval=check.measured("interval", units.seconds) or 30,
        timeout=check.measured("timeout", units.seconds) or 30,
        retries=check.number("retries", 3, least=1),
        start_period=check.measured("start_period", units.seconds) or 0,
        start_interval=check.measured("start_interval", units.seconds) or 0,
    )
    check.finish()
    return made


def hooks(service: Fields, key: str) -> tuple[str, ...]:
    """The one command that all hooks of a list are. More than a single plain one needs the image's shell."""
    scripts: list[str] = []
    alone: tuple[str, ...] = ()
    for item in service.listed(key):
        fields = Fields(service.source, item)
        command = words(fields, "command") or ()
        if not command:
            service.source.problem(item, "expected `command`")
        variables = [f"{name}={value}" for name, value in fields.pairs("environment", item.origin.variables)]
        folder = fields.text("working_dir")
        fields.finish()
        steps = [shlex.join(["env", *variables, *command] if variables else command)]
        if folder:
            steps.insert(0, shlex.join(["cd", folder]))
        scripts.append(f"({' && '.join(steps)})")
        alone = () if variables or folder else command
    return alone if alone and len(scripts) == 1 else _script(scripts)


def _script(steps: Sequence[str]) -> tuple[str, ...]:
    return (*_SHELL, " && ".join(steps)) if steps else ()


def _test(check: Fields) -> tuple[str, ...]:
    at = check.get("test")
    if at is None:
        return ()
    if not at.is_list:
        return (*_SHELL, text(check.source, at))
    first, *rest = check.texts("test") or ("NONE",)
    if first == "CMD" and rest:
        return tuple(rest)
    if first == "CMD-SHELL" and rest:
        return (*_SHELL, " ".join(rest))
    if first != "NONE":
        check.source.problem(at, f"expected CMD or CMD-SHELL and a command, or NONE, found {first!r}")
    return ()


def _each(service: Fields, key: str) -> list[Value]:
    at = service.get(key)
    if at is None:
        return []
    return at.content if isinstance(at.content, list) else [at]


def _env_file(service: Fields, at: Value) -> dict[str, str]:
    if not at.is_map:
        return _file(service, at, text(service.source, at))
    item = Fields(service.source, at)
    needed, where = item.truth("required", True), item.get("path") or at
    raw = item.choice("format", ("raw",), "") == "raw"
    item.finish()
    name = text(service.source, where)
    return {} if not needed and not at.origin.path(name).exists() else _file(service, where, name, raw=raw)


def _file(service: Fields, at: Value, name: str, *, raw: bool = False, labels: bool = False) -> dict[str, str]:
    path = at.origin.path(name)
    try:
        return read_env_file(path, at.origin.variables, raw=raw, labels=labels)
    except OSError as error:
        service.source.problem(at, f"{path} cannot be read: {error.strerror}")
    except ValueError as error:
        service.source.problem(at, str(error))
    return {}
