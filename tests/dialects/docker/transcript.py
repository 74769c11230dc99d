"""Conversations with the real docker command line, as text: `$ COMMAND`, then what it printed.

What differs from one run to the next has a name in them: `<id>` for identifiers, `<time>` for times. To write down what is said
now, run the tests with MOTET_REWRITE=1 and read the difference.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parent / "transcripts"
OLD = Path(sys.prefix) / "docker-20.10" / "docker"

_VARYING = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short>"),
    (re.compile(r"\bMOTET-1-[a-z2-7]+-[a-z2-7]+\b"), "<token>"),
    (re.compile(r"\b\d+(\.\d+)?[kM]B\b *"), "<size> "),
    (re.compile(r"\b[0-9a-z]{25}\b(?<![0-9]{25})"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 utc| \+0000 UTC)?"), "<time>"),
)


def clients() -> dict[str, Path]:
    """The docker commands there are, by how old they are."""
    found = {}
    if (new := shutil.which("docker")) is not None:
        found["new"] = Path(new)
    if OLD.exists():
        found["old"] = OLD
    return found


def commands(transcript: Path) -> Iterator[str]:
    for line in transcript.read_text().splitlines():
        if line.startswith("$ "):
            yield line[2:]


def run(client: Path, command: str, host: str, home: Path, variables: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a command of the shell prints, both streams. What `variables` hold is theirs to change: they show by their names."""
    environment = {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "HOME": str(home),
        "DOCKER_HOST": host,
        "DOCKER_CLI_HINTS": "false",
        **variables,
    }
    alias = home / "bin" / "docker"
    if not alias.exists():
        alias.parent.mkdir(parents=True, exist_ok=True)
        alias.symlink_to(client)
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=home
    )
    said = done.stdout + done.stderr
    for name, value in variables.items():
        said = said.replace(value, f"<{name.lower()}>")
    return normal(said)


def normal(text: str) -> str:
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if line.strip())


def conversation(client: Path, transcript: Path, host: str, home: Path, variables: Mapping[str, str]) -> str:
    """The transcript as it goes with this client."""
    return "".join(f"$ {command}\n{run(client, command, host, home, variables)}" for command in commands(transcript))


def check(client: Path, name: str, host: str, home: Path, variables: Mapping[str, str] = MappingProxyType({})) -> None:
    transcript = FOLDER / ("old" if client == OLD else "new") / f"{name}.txt"
    said = conversation(client, FOLDER / "new" / f"{name}.txt", host, home, variables)
    if os.environ.get("MOTET_REWRITE"):
        transcript.parent.mkdir(exist_ok=True)
        transcript.write_text(said)
    written = transcript.read_text()
    assert said == written, "\n".join(difflib.unified_diff(written.splitlines(), said.splitlines(), lineterm=""))
