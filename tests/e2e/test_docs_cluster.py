"""docs/cluster.md, typed word for word on a testbed of its own: every command does what the page says it prints."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from motet.testbed.cluster import Testbed
from support.images import busybox_image

PAGE = Path(__file__).parents[2] / "docs/cluster.md"
_SERVER = "#!/bin/sh\nmkdir -p /tmp/www; echo $HOSTNAME > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www\n"
# What is different for everybody: ages, the testbed's network, pods' names and networks, which node a pod happens to go to.
_VARIES = (
    (r"\b(\d+[smh])+\b", "AGE"),
    (r"\b10\.201\.\d+\.", "10.201.0."),
    (r"\b10\.42\.\d+\.", "10.42.0."),
    (r"\bweb-[a-z0-9]+-[a-z0-9]{5}\b", "web-POD"),
    (r"-> n\d\b", "-> NODE"),
    (r"\s+", " "),
)


@dataclass
class Step:
    """A command of the page, and what it prints there."""

    command: str
    prints: list[str] = field(default_factory=list)


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.S | re.M):
        for line in block.splitlines():
            if line.startswith("# "):
                found.append(Step(line.removeprefix("# ")))
            else:
                found[-1].prints.append(line)
    return found


def files(page: str) -> dict[str, str]:
    """The files that the page has its reader write: their first line is their name."""
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```", page, re.S | re.M)
    return dict(blocks)


def plain(line: str) -> str:
    for pattern, replacement in _VARIES:
        line = re.sub(pattern, replacement, line)
    return line.strip()


class Reader:
    """Somebody who types what is on the page, at one shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.testbed = Testbed(folder / "testbed")
        self._environment = folder / "environment"
        self._environment.touch()

    def types(self, command: str) -> subprocess.CompletedProcess[str]:
        if (self.testbed.directory / "plan.json").exists():
            command = command.replace("10.201.0.", self.testbed.plan.subnet.rpartition(".")[0] + ".")
        script = f". {self._environment}; {command}\ncode=$?; export -p > {self._environment}; exit $code"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "MOTET_TESTBED_DIR": str(self.testbed.directory)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture
def reader() -> Iterator[Reader]:
    with tempfile.TemporaryDirectory(prefix="motet-docs-", dir="/var/tmp") as folder:
        made = Reader(Path(folder))
        try:
            yield made
        finally:
            asyncio.run(made.testbed.down())


def test_the_page_can_be_typed_word_for_word(reader: Reader) -> None:
    page = PAGE.read_text()
    busybox_image(reader.folder / "web.tar", "localhost/motet-test/busybox:1", {"srv.sh": _SERVER})
    for name, content in files(page).items():
        (reader.folder / name).write_text(content)
    for step in steps(page):
        done = reader.types(step.command)
        told = f"# {step.command}\n{done.stdout}"
        print(told)
        fails = any(line.lower().startswith("error") for line in step.prints)
        assert bool(done.returncode) == fails, told
        printed = iter([plain(line) for line in done.stdout.splitlines()])
        for line in step.prints:
            assert plain(line) in printed, f"not printed (in this order): {line}\n{told}"
    assert not reader.testbed.directory.exists(), "nothing is left"
