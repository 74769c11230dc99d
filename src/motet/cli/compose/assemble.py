"""Several files made one: laid over each other, services that extend others filled in, included projects copied in.

The order is the specification's: within each file `extends` first, then the files over each other, then `include`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from motet.cli.compose.interpolate import fill_in, read_env_file
from motet.cli.compose.merge import merge, moved, settled
from motet.cli.compose.source import RESET, Fields, Origin, Source, Value, load, text

_COPIED = ("services", "volumes", "networks", "secrets", "configs")
_DEEPEST = 32

Fill = Callable[[str, Mapping[str, str]], str]


def variables_of(folder: Path, environment: Mapping[str, str], files: Sequence[Path] = ()) -> dict[str, str]:
    """Variables for files of `folder`: those of its `.env`, or of `files`, and before them `environment`. Raises ComposeError."""
    beside = folder / ".env"
    found: dict[str, str] = {}
    for file in files or ((beside,) if beside.is_file() else ()):
        try:
            found |= read_env_file(file, {**found, **environment})
        except OSError as error:
            _refuse(file, f"cannot be read: {error.strerror}")
        except ValueError as error:
            _refuse(file, str(error))
    return {**found, **environment}


def _refuse(file: Path, why: str) -> None:
    source = Source(str(file))
    source.problem(Value("", 1, None), why)
    source.check()


def assemble(
    files: Sequence[Path], folder: Path, variables: Mapping[str, str], fill: Fill = fill_in
) -> tuple[Source, Value]:
    """The one tree that `files` are together, their paths starting from `folder`. Raises ComposeError for what cannot be read."""
    source = Source(str(files[0]))
    return source, _project(source, files, folder, variables, fill, ())


def _project(
    source: Source,
    files: Sequence[Path],
    folder: Path,
    variables: Mapping[str, str],
    fill: Fill,
    trail: tuple[Path, ...],
) -> Value:
    root: Value | None = None
    for file in files:
        loaded = load(file, Origin(str(file), folder, variables), lambda found: fill(found, variables))
        extended = _Extending(source, fill).whole(loaded)
        root = settled(extended) if root is None else merge(root, extended)
    assert root is not None
    return _including(source, root, fill, (*trail, *(file.resolve() for file in files)))


class _Extending:
    """Fills in `extends` in one file after the other."""

    def __init__(self, source: Source, fill: Fill) -> None:
        self._source = source
        self._fill = fill

    def whole(self, root: Value) -> Value:
        services = _map(root).get("services")
        if services is None or not isinstance(services.content, dict):
            return root
        found = {name: self._service(root, name, ()) for name in services.content}
        return replace(root, content={**_map(root), "services": replace(services, content=found)})

    def _service(self, root: Value, name: str, trail: tuple[tuple[str, str], ...]) -> Value:
        """The service of a file with all that it extends."""
        own = _map(_map(root)["services"])[name]
        asked = _map(own).get("extends")
        if asked is None or asked.tag == RESET:
            return own
        left = replace(own, content={key: value for key, value in _map(own).items() if key != "extends"})
        here = (root.origin.file, name)
        if here in trail:
            listed = " -> ".join(service for _, service in (*trail[trail.index(here) :], here))
            self._source.problem(asked, f"services extend each other: {listed}")
            return left
        file, wanted = self._asked(asked)
        base_root = self._file(asked, file, root) if file else root
        if base_root is None or not wanted:
            return left
        if wanted not in _map(_map(base_root).get("services")):
            self._source.problem(asked, f"there is no service {wanted!r}{f' in {file}' if file else ''}")
            return left
        base = settled(self._service(base_root, wanted, (*trail, here)))
        return merge(moved(base, own.path), left)

    def _asked(self, at: Value) -> tuple[str, str]:
        """(the file or nothing, the service)."""
        if not at.is_map:
            return "", text(self._source, at)
        fields = Fields(self._source, at)
        file, service = fields.text("file"), fields.text("service")
        fields.finish()
        if not service:
            self._source.problem(at, "expected `service`, the service to extend")
        return file, service

    def _file(self, at: Value, name: str, root: Value) -> Value | None:
        path = at.origin.path(name)
        if not path.is_file():
            self._source.problem(at, f"{path} does not exist")
            return None
        variables = root.origin.variables
        return load(path, Origin(str(path), path.parent, variables), lambda found: self._fill(found, variables))


def _including(source: Source, root: Value, fill: Fill, trail: tuple[Path, ...]) -> Value:
    asked = _map(root).get("include")
    if asked is None:
        return root
    found = {key: value for key, value in _map(root).items() if key != "include"}
    if not isinstance(asked.content, list):
        source.problem(asked, f"expected a list, found {asked.described()}")
        return replace(root, content=found)
    for item in asked.content:
        for key, value in _map(_included(source, item, fill, trail)).items():
            if key in _COPIED:
                found[key] = _copied(source, found.get(key), value)
    return replace(root, content=found)


def _included(source: Source, at: Value, fill: Fill, trail: tuple[Path, ...]) -> Value:
    """The tree of one included project; nothing where it cannot be read, which is noted."""
    nothing = Value(at.path, at.line, None, origin=at.origin)
    if at.is_map:
        fields = Fields(source, at)
        files = [at.origin.path(each) for each in fields.texts("path")]
        folder = at.origin.path(given) if (given := fields.text("project_directory")) else None
        env_files = [at.origin.path(each) for each in fields.texts("env_file")]
        fields.finish()
    else:
        files, folder, env_files = [at.origin.path(text(source, at))], None, []
    if not files:
        source.problem(at, "expected `path`, the file to include")
        return nothing
    for file in files:
        if not file.is_file():
            source.problem(at, f"{file} does not exist")
            return nothing
        if file.resolve() in trail or len(trail) > _DEEPEST:
            source.problem(at, f"files include each other: {file}")
            return nothing
    folder = folder or files[0].parent
    return _project(source, files, folder, variables_of(folder, at.origin.variables, env_files), fill, trail)


def _copied(source: Source, mine: Value | None, other: Value) -> Value:
    """A section with what an included project has there; the same name may not mean two things."""
    if mine is None or mine.content is None or not isinstance(other.content, dict):
        return other if mine is None or mine.content is None else mine
    for name, value in other.content.items():
        if name in _map(mine) and _plain(_map(mine)[name]) != _plain(value):
            source.problem(
                value, f"{_map(mine)[name].origin.file} has another {name!r}; included files add and do not change"
            )
    return replace(mine, content={**other.content, **_map(mine)})


def _plain(value: Value) -> object:
    if isinstance(value.content, dict):
        return {key: _plain(each) for key, each in value.content.items()}
    return [_plain(each) for each in value.content] if isinstance(value.content, list) else value.content


def _map(value: Value | None) -> dict[str, Value]:
    return value.content if value is not None and isinstance(value.content, dict) else {}
