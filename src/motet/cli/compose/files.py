"""Volumes, secrets and configs of a Compose file's top level."""

from __future__ import annotations

from collections.abc import Iterator

from motet.base import names
from motet.cli.compose.external import is_external, old_name
from motet.cli.compose.model import FileSource, Volume
from motet.cli.compose.source import Fields, Source, Value, text
from motet.kinds import placeholders

# What fills in placeholders, as Docker calls it.
_TEMPLATES = "golang"


def volumes(fields: Fields) -> Iterator[Volume]:
    """Those that the file names."""
    for key, value in fields.each("volumes"):
        yield _volume(fields.source, key, value)


def contents(fields: Fields, key: str) -> Iterator[FileSource]:
    """What `secrets` or `configs` (`key`) hold."""
    for name, value in fields.each(key):
        item = Fields(fields.source, value)
        title = item.text("name") or name
        labels = tuple(item.pairs("labels"))
        template = item.choice("template_driver", (_TEMPLATES,), "") == _TEMPLATES
        if is_external(item):
            found: FileSource | None = FileSource(
                name, b"", value.line, external=True, title=old_name(item) or title, labels=labels
            )
            if template:
                item.source.problem(item.items["template_driver"], "whose content it is says whether it is a template")
        else:
            content = _content(item)
            found = None
            if content is not None:
                found = FileSource(name, content, value.line, title=title, labels=labels, template=template)
            if content is not None and template:
                _check_template(item, content)
        item.finish()
        if found is None:
            item.source.problem(item.at, "expected one of `file`, `environment`, `content` or `external`")
        else:
            yield found


def _check_template(item: Fields, content: bytes) -> None:
    at = item.items["template_driver"]
    try:
        text = content.decode()
    except UnicodeDecodeError:
        item.source.problem(at, "what is to be filled in must be text in UTF-8")
        return
    if problem := placeholders.problem(text, of_file=True):
        item.source.problem(at, problem)


def _volume(source: Source, key: str, at: Value) -> Volume:
    fields = Fields(source, at if at.content is not None else Value(at.path, at.line, {}, origin=at.origin))
    external = is_external(fields)
    name = old_name(fields) or fields.text("name") or key
    fields.choice("driver", ("local",), "local")
    path = _directory(fields)
    labels = tuple(fields.pairs("labels"))
    fields.finish()
    if external and path:
        source.problem(at, "an external volume is somebody else's; leave out `driver_opts`")
    if problem := names.label_error(name.replace("_", "-").replace(".", "-").lower()):
        source.problem(at, f"the volume name {name!r}: {problem}")
    return Volume(key, name, at.line, external, path, labels)


def _directory(fields: Fields) -> str:
    """`driver_opts` of a directory that goes by a volume's name: {type: none, o: bind, device: /path}."""
    options = fields.fields("driver_opts")
    if options is None:
        return ""
    kind, device = options.text("type", "none"), options.text("device")
    how = {each for each in options.text("o").split(",") if each}
    if kind not in ("none", "bind") or not how & {"bind", "rbind"} or how - {"bind", "rbind", "rw"} or not device:
        why = "only a directory of the node can be mounted: {type: none, o: bind, device: /path}"
        options.source.problem(options.at, why)
        device = ""
    options.finish()
    return str(fields.at.origin.path(device).resolve()) if device else ""


def _content(item: Fields) -> bytes | None:
    if (file := item.get("file")) is not None:
        path = file.origin.path(text(item.source, file))
        try:
            return path.read_bytes()
        except OSError as error:
            item.source.problem(file, f"{path} cannot be read: {error.strerror}")
            return b""
    if (variable := item.get("environment")) is not None:
        name, variables = text(item.source, variable), variable.origin.variables
        if name not in variables:
            item.source.problem(variable, f"the variable {name} is not set")
        return variables.get(name, "").encode()
    if (content := item.get("content")) is not None:
        return text(item.source, content).encode()
    return None
