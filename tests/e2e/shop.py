"""One Compose project on the shared cluster."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

from e2e.cluster import Cluster


class Shop:
    """One project: its file, and verbs on it."""

    def __init__(self, cluster: Cluster, folder: Path, text: str) -> None:
        self.cluster = cluster
        self.name = f"shop-{uuid.uuid4().hex[:6]}"
        self.folder = folder
        self.write(text)

    def write(self, text: str) -> None:
        (self.folder / "compose.yaml").write_text(f"name: {self.name}\n{text}")

    def motet(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.cluster.motet(*words, cwd=self.folder, timeout=60, **options)

    def rows(self, *words: str) -> Any:
        return json.loads(self.motet(*words, "-o", "json").stdout)

    def gone(self) -> bool:
        return self.name not in self.cluster.kubectl("get", "namespaces", "-o", "name")
