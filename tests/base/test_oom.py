from __future__ import annotations

import subprocess
from pathlib import Path

from motet.base import oom


def test_a_process_is_protected_by_what_it_writes_of_itself(tmp_path: Path) -> None:
    oom.protect(tmp_path / "oom_score_adj")
    assert (tmp_path / "oom_score_adj").read_text() == "-999\n"


def score_of_ordinary(before: int) -> int:
    """Of a command without protection, started by a process that has given itself `before`, where it may."""
    start = f'echo {before} > /proc/self/oom_score_adj 2>/dev/null; exec "$@"'
    command = oom.ordinary(["cat", "/proc/self/oom_score_adj"])
    return int(subprocess.run(["sh", "-c", start, "sh", *command], capture_output=True, check=True).stdout)


def test_what_works_for_others_is_not_protected() -> None:
    assert score_of_ordinary(-500) >= 0
    assert score_of_ordinary(777) == 777


def test_the_words_of_a_command_stay_as_they_are() -> None:
    words = ["printf", "%s|", "a b", "", "$HOME", "'\"*"]
    run = subprocess.run(oom.ordinary(words), capture_output=True, check=True, text=True)
    assert run.stdout == "a b||$HOME|'\"*|"
