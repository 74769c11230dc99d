"""Motet's own version, and which Kubernetes it is compatible with: that of the schema table. Clients decide by the latter what
they may ask for.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

# The package's metadata has it from here. Nodes and managers may be one minor version apart (`api/http/versions`).
VERSION: Final = "0.1.0"
MAJOR: Final = "1"
MINOR: Final = "37"
KUBERNETES: Final = f"v{MAJOR}.{MINOR}.0"
# As agents and the API call themselves.
MOTET: Final = f"{KUBERNETES}+motet-{VERSION}"


@lru_cache(maxsize=1)
def source_digest() -> str:
    """40 hexadecimal digits that tell one state of the installed code from another, as a commit would: a package does not know
    the one it was made from."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
