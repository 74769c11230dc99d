"""Names of images, spelled out."""

from __future__ import annotations

import re

from motet.runtime.interface import RuntimeFailure


def normalise(reference: str) -> str:
    """The full name of an image reference: `web` is `docker.io/library/web:latest` (Docker's rule, spelled out).

    Raises RuntimeFailure with reason InvalidImageName.
    """
    name, at, digest = reference.partition("@")
    head, slash, _ = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    elif head in ("index.docker.io", "docker.io"):
        rest = name.partition("/")[2]
        name = f"docker.io/{rest}" if "/" in rest else f"docker.io/library/{rest}"
    repository, colon, tag = name.partition("/")[2].partition(":")
    if not re.fullmatch(r"[a-z0-9]+(?:(?:\.|__?|-+|/)[a-z0-9]+)*", repository):
        raise RuntimeFailure(f"{reference!r} is not an image reference", "InvalidImageName")
    if colon and not re.fullmatch(r"\w[\w.-]{0,127}", tag, re.ASCII):
        raise RuntimeFailure(f"{reference!r} has a tag that cannot be", "InvalidImageName")
    if at:
        return f"{name}@{digest}"
    return name if tag else f"{name}:latest"
