"""What buildah is told of a build."""

from __future__ import annotations

from pathlib import Path

from motet.cli.build.images import options
from motet.cli.compose.model import Build


def test_a_plain_build_needs_no_options() -> None:
    assert options(Build(Path("/src"))) == []


def test_every_wish_is_an_option() -> None:
    build = Build(
        Path("/src"),
        target="last",
        args=(("A", "1"),),
        labels=(("l", "x y"),),
        no_cache=True,
        pull=True,
        platform="linux/arm64",
        contexts=(("other", "/other"),),
        cache_from=("registry.example/cache",),
        hosts=(("gate", "192.0.2.1"),),
    )
    assert options(build) == [
        *("--label", "l=x y", "--build-context", "other=/other", "--add-host", "gate:192.0.2.1"),
        *("--cache-from", "registry.example/cache", "--target", "last", "--platform", "linux/arm64"),
        *("--no-cache", "--pull=always"),
    ]
