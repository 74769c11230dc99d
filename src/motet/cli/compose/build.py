"""`build`: how a service's image is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from motet.cli.compose import hosts
from motet.cli.compose.model import Build
from motet.cli.compose.source import Fields, Value, text


def read(service: Fields) -> Build | None:
    """What a service says of its image's making; None when it says nothing."""
    at = service.get("build")
    if at is None:
        return None
    if not at.is_map:
        return Build(_context(service, at, text(service.source, at)))
    fields = Fields(service.source, at)
    context = _context(fields, fields.get("context") or at, fields.text("context", "."))
    inline, dockerfile = fields.text("dockerfile_inline"), fields.text("dockerfile")
    if inline and dockerfile:
        fields.source.problem(fields.items["dockerfile"], "expected one of `dockerfile` and `dockerfile_inline`")
    made = Build(
        context,
        dockerfile,
        fields.text("target"),
        tuple(fields.pairs("args", at.origin.variables)),
        inline,
        labels=tuple(fields.pairs("labels")),
        no_cache=fields.truth("no_cache"),
        pull=fields.truth("pull"),
        platform=_platform(fields),
        contexts=tuple(_contexts(fields)),
        cache_from=fields.texts("cache_from"),
        hosts=tuple(hosts.read(fields)),
        tags=fields.texts("tags"),
        secrets=tuple(_secrets(fields)),
    )
    # Steps run on the machine's own network, and can on no other.
    fields.choice("network", ("default", "host"), "default")
    fields.finish()
    return made


def _context(fields: Fields, at: Value, path: str) -> Path:
    context = at.origin.path(path).resolve()
    if not context.is_dir():
        fields.source.problem(at, f"the build context {context} is not a directory")
    return context


def _platform(fields: Fields) -> str:
    platforms = fields.texts("platforms")
    if len(platforms) > 1:
        fields.source.problem(fields.items["platforms"], "an image is built for one platform; name one")
    return platforms[0] if platforms else ""


def _contexts(fields: Fields) -> Iterator[tuple[str, str]]:
    """A path, or what buildah knows by its beginning: docker-image://, https://, a git address."""
    at = fields.get("additional_contexts")
    for name, where in fields.pairs("additional_contexts"):
        assert at is not None
        if "://" in where:
            yield name, where
        elif where.startswith("service:"):
            fields.source.problem(at, f"{name}: another service's image cannot be a context; name a path or an image")
        else:
            yield name, str(_context(fields, at, where))


def _secrets(fields: Fields) -> Iterator[tuple[str, str]]:
    for item in fields.listed("secrets"):
        if not item.is_map:
            name = text(fields.source, item)
            yield name, name
            continue
        long = Fields(fields.source, item)
        name = long.text("source")
        yield long.text("target", name), name
        long.finish()
