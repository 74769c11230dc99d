"""Who makes a request, once authentication has decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = "system:anonymous"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"


@dataclass(frozen=True, slots=True)
class User:
    """A person, a node or a component (Kubernetes `user.Info`)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# Whoever shows nothing.
STRANGER = User(ANONYMOUS, (UNAUTHENTICATED,))
# The manager's own loops, which reach the registry without a connection to authenticate.
CONTROLLERS = User("system:motet:controllers", (MASTERS, AUTHENTICATED))
