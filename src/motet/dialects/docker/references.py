"""Names of images, short as Docker shows them and full as nodes keep them."""

from __future__ import annotations

import re

from motet.dialects.docker.errors import DockerError, bad
from motet.runtime.interface import RuntimeFailure
from motet.runtime.references import normalise

HUB = "docker.io"
_LIBRARY = f"{HUB}/library/"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


def full(name: str) -> str:
    """The full name, with `latest` for no tag; a digest makes the tag beside it superfluous. Raises DockerError."""
    given, at, digest = name.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise bad("invalid reference format")
    try:
        found = normalise(given)
    except RuntimeFailure as failure:
        raise bad("invalid reference format") from failure
    return f"{repository(found)}@{digest}" if at else found


def joined(name: str, tag: str) -> str:
    """Name and tag as the API's parameters give them: a tag may be a digest, and be missing."""
    if not tag:
        return name
    return f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}"


def familiar(name: str) -> str:
    """As people write it: `docker.io/library/web:1` is `web:1`."""
    if name.startswith(_LIBRARY) and "/" not in name[len(_LIBRARY) :]:
        return name[len(_LIBRARY) :]
    return name.removeprefix(f"{HUB}/")


def repository(name: str) -> str:
    """The full name without tag and digest."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def tag_of(name: str) -> str:
    """The tag of a full name, empty for none."""
    return name.partition("@")[0].rpartition("/")[2].partition(":")[2]


def host(address: str) -> str:
    """The registry that an address means (`https://index.docker.io/v1/` is Docker's own). Raises DockerError."""
    name = re.sub(r"^https?://", "", address).partition("/")[0]
    if name in ("", "index.docker.io", "registry-1.docker.io"):
        return HUB
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?", name):
        raise bad(f"serveraddress: {address!r} is no registry")
    return name


def id_prefix(text: str) -> str:
    """The hexadecimal digits of an identifier or the beginning of one; empty for what cannot be any."""
    found = _ID.fullmatch(text)
    return found[1] if found else ""


def no_such(name: str) -> DockerError:
    """In the daemon's words, which clients look into before they pull."""
    if not id_prefix(name):
        given, at, digest = name.partition("@")
        name = (
            f"{given}@{digest}" if at else (name if tag_of(full(name)) in name.rpartition("/")[2] else f"{name}:latest")
        )
    return DockerError(404, f"No such image: {name}")
