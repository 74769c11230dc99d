"""A Secret cannot be read from any file below the data directory, and its key can be changed while all goes on."""

from __future__ import annotations

import base64
import subprocess

from e2e.space import Space

WORD = "correct-horse-battery-staple"


def readable(space: Space) -> list[str]:
    """Files on the data directory's own disk, not in what is mounted below it, that hold the word in either form."""
    forms = [part for form in (WORD, base64.b64encode(WORD.encode()).decode()) for part in ("-e", form)]
    folder = space.cluster.directory
    find = ["find", str(folder), "-xdev", "-type", "f", "-exec", "grep", "-laF", *forms, "{}", "+"]
    return subprocess.run(find, capture_output=True, text=True, check=False).stdout.split()


def test_no_file_of_the_manager_holds_a_secret(space: Space):
    space.kubectl("create", "secret", "generic", "word", f"--from-literal=word={WORD}")
    assert readable(space) == []
    before = space.cluster.machine.secret_keys.read_text()
    said = space.cluster.motet("secrets", "rotate-key").stdout
    assert "All secrets are encrypted with a new key" in said
    assert space.cluster.machine.secret_keys.read_text() != before
    assert readable(space) == []
    encoded = space.kubectl("get", "secret", "word", "-o", "jsonpath={.data.word}")
    assert base64.b64decode(encoded).decode() == WORD
