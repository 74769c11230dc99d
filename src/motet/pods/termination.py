"""Last words: the termination message a container leaves (Kubernetes "Customizing the termination message")."""

from __future__ import annotations

from pathlib import Path

from motet.pods import logs
from motet.pods.model import MESSAGE_FILE, MESSAGE_POLICY
from motet.runtime.interface import Container

# Upstream's limits, in bytes and lines.
LONGEST = 4096
LONGEST_FROM_LOG = 2048
LINES_FROM_LOG = 80


def read(container: Container) -> str:
    """What the exited `container` says of its end, or an empty string."""
    text = _from_file(container.annotations.get(MESSAGE_FILE, ""))
    if not text and container.annotations.get(MESSAGE_POLICY) == "FallbackToLogsOnError" and container.exit_code != 0:
        text = _from_log(container.log_path)
    return text


def _from_file(path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            return file.read(LONGEST).decode(errors="replace")
    except OSError:
        return ""


def _from_log(path: str) -> str:
    if not path:
        return ""
    lines = logs.tail(path, LINES_FROM_LOG, LONGEST_FROM_LOG)
    return b"".join(lines).decode(errors="replace")[-LONGEST_FROM_LOG:]
