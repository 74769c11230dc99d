"""Motet's own version, and which Kubernetes it is compatible with: that of the schema table. Clients decide by the latter what
they may ask for.
"""

from __future__ import annotations

from typing import Final

# The package's metadata has it from here. Nodes and managers may be one minor version apart (`api/http/versions`).
VERSION: Final = "0.1.0"
MAJOR: Final = "1"
MINOR: Final = "37"
KUBERNETES: Final = f"v{MAJOR}.{MINOR}.0"
# As agents and the API call themselves.
MOTET: Final = f"{KUBERNETES}+motet-{VERSION}"
