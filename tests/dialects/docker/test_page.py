"""The page for those who come from Swarm says of every command and option of docker what becomes of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "from-swarm.md"
# Whose commands have a shorter name.
_LONGER = ("container", "image", "system", "builder")
_HELP = "help"


def section(title: str) -> str:
    return PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def helped(docker: Path, *command: str) -> str:
    """What a command says of itself."""
    done = subprocess.run([docker, *command, "--help"], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def commands_of(docker: Path) -> Iterator[str]:
    for line in re.finditer(r"^  ([a-z-]+)\*? +(\w.*)$", helped(docker), re.MULTILINE):
        name = line[1]
        inner = re.findall(r"^  ([a-z-]+) +\w.*$", helped(docker, name).partition("ommands:\n")[2], re.MULTILINE)
        yield from (f"{name} {each}" for each in inner) if inner else (name,)


def commands_told() -> set[str]:
    """`swarm init`, `join` are two commands of one group."""
    found = set()
    for row in re.findall(r"^\| (`.*?) \|", section("Commands"), re.MULTILINE):
        group = ""
        for cell in re.findall(r"`([a-z][a-z -]*)[^`]*`", row):
            words = cell.split()
            group, name = (words[0], words[1]) if len(words) > 1 else (group, words[0])
            found.add(f"{group} {name}".strip())
    return found


def test_every_command_is_told_of(docker: Path) -> None:
    told = commands_told()
    names = set(commands_of(docker))
    assert len(names) > 100
    missing = {
        name
        for name in names
        if name not in told and not (name.partition(" ")[0] in _LONGER and name.partition(" ")[2] in told)
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("command", "title"), [(("service", "create"), "Fields of a service"), (("run",), "Containers")]
)
def test_every_option_is_told_of(docker: Path, command: tuple[str, ...], title: str) -> None:
    options = set(re.findall(r"^ +(?:-\w, +)?--([a-z0-9-]+)", helped(docker, *command), re.MULTILINE)) - {_HELP}
    assert len(options) > 60
    assert options - set(re.findall(r"--([a-z0-9-]+)", section(title))) == set()
