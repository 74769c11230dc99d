"""Which Kubernetes Motet is compatible with: that of the schema table. Clients decide by it what they may ask for."""

from __future__ import annotations

from typing import Final

MAJOR: Final = "1"
MINOR: Final = "37"
KUBERNETES: Final = f"v{MAJOR}.{MINOR}.0"
# As agents and the API call themselves.
MOTET: Final = f"{KUBERNETES}+motet"
