"""A Debian base image made from Debian's packages, for places that reach a package registry and no image registry."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from motet.base.errors import MotetError
from motet.runtime.buildah import Buildah, Say

DEFAULT_TAG = "localhost/motet/debian:bookworm"

_STEP = re.compile(r"I: (Retrieving|Unpacking|Configuring|Installing)\w* (?:the )?(\w[\w ]*)")


async def make(buildah: Buildah, tag: str, suite: str, say: Say) -> str:
    """Make the image if the storage does not have it; returns its id. Raises MotetError."""
    if found := await buildah.image_id(tag):
        return found
    if shutil.which("debootstrap") is None:
        raise MotetError("making a Debian image needs debootstrap; install it with: apt-get install debootstrap")
    buildah.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    tree = Path(tempfile.mkdtemp(prefix="debian-", dir=buildah.directory))
    try:
        tree.chmod(0o755)
        await _debootstrap(tree, suite, say)
        for unneeded in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            _empty(tree / unneeded)
        say("committing")
        return await buildah.from_tree(tree, tag, command="/bin/bash")
    finally:
        await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)


async def _debootstrap(tree: Path, suite: str, say: Say) -> None:
    mirror = next(iter(_mirrors(Path("/etc/apt"), suite)), None)
    process = await asyncio.create_subprocess_exec(
        "debootstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        suite,
        str(tree),
        *([mirror] if mirror else []),
        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        umask=0o022,
    )
    assert process.stdout is not None
    last = ""
    try:
        while line := await process.stdout.readline():
            last = line.decode(errors="replace").strip()
            if match := _STEP.match(last):
                say(f"{match[1].lower()} {match[2]}")
        code = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if code != 0:
        raise MotetError(f"debootstrap {suite} failed: {last}; is the Debian package registry reachable?")


def _mirrors(configuration: Path, suite: str) -> Iterator[str]:
    """Where this machine's own apt gets `suite` from (sources.list(5), both forms)."""
    for path in sorted(configuration.glob("sources.list.d/*.sources")):
        for paragraph in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"^(\w+):\s*(.+)$", paragraph, re.MULTILINE))
            if suite in fields.get("Suites", "").split() and "deb" in fields.get("Types", "").split():
                yield fields["URIs"].split()[0]
    for path in (configuration / "sources.list", *sorted(configuration.glob("sources.list.d/*.list"))):
        if path.exists():
            yield from re.findall(
                rf"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+{re.escape(suite)}\s", path.read_text(), re.MULTILINE
            )


def _empty(directory: Path) -> None:
    """Remove what is inside a directory and keep the directory."""
    if directory.is_dir():
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
