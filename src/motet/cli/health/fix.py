"""Mends what `checks` found: Debian packages through apt-get, kernel modules through modprobe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable

from motet.base.errors import MotetError
from motet.cli.health.checks import Finding, Level
from motet.runtime.settings import PATH

Say = Callable[[str], None]

_INTERESTING = re.compile(r"(Get:|Unpacking|Setting up|E:|W:) ?(.*)")
_LAST_LINES = 15


async def repair(findings: Iterable[Finding], say: Say) -> None:
    """Install and load what is missing. `say` is told what happens. Raises MotetError with apt-get's own last words."""
    wanted = [finding for finding in findings if finding.level is not Level.FINE]
    packages = list(dict.fromkeys(name for finding in wanted for name in finding.packages))
    modules = list(dict.fromkeys(name for finding in wanted for name in finding.modules))
    if packages:
        if shutil.which("apt-get") is None:
            raise MotetError(
                f"this system has no apt-get; install these with its own package manager: {', '.join(packages)}"
            )
        say(f"installing {', '.join(packages)}")
        await _apt(["update"], say)
        await _apt(["install", "--yes", "--no-install-recommends", *packages], say)
    for module in modules:
        say(f"loading {module}")
        with contextlib.suppress(MotetError):  # the next look says whether it is there
            await _command(["modprobe", module], lambda line: None)


async def _apt(arguments: list[str], say: Say) -> None:
    def told(line: str) -> None:
        if match := _INTERESTING.match(line):
            say(f"  {match[0][:100]}")

    await _command(["apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments], told)


async def _command(command: list[str], told: Callable[[str], None]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    environment["PATH"] = os.pathsep.join((environment.get("PATH", ""), PATH))
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
    except FileNotFoundError as error:
        raise MotetError(f"{command[0]} is not installed") from error
    assert child.stdout is not None
    last: list[str] = []
    async for raw in child.stdout:
        line = raw.decode(errors="replace").rstrip()
        last = [*last[-_LAST_LINES:], line]
        told(line)
    if code := await child.wait():
        raise MotetError(f"{' '.join(command)} failed with exit code {code}:\n" + "\n".join(last))
