"""What the life of a pod needs of the node's network: that a pod is isolated before it can send anything.

The node knows a pod's address when its sandbox is made, long before the address has gone to the API and come back. So it is
told at once, and no container is started before the rules that follow from it are in force.
"""

from __future__ import annotations

from typing import Protocol

from motet.runtime.interface import RuntimeFailure
from motet.store.document import Document


class Isolation(Protocol):
    """The roster of the node's network."""

    def admit(self, document: Document, address: str) -> None:
        """This pod of the node has this address; cheap when that is known."""
        ...

    def dismiss(self, uid: str) -> None:
        """This pod has no address any more."""
        ...

    async def enforced(self) -> None:
        """Return once all rules that follow from what is known now are in force. Raises TimeoutError."""
        ...


class NoIsolation:
    """A node whose network isolates nothing."""

    def admit(self, document: Document, address: str) -> None:
        """Nothing to do."""

    def dismiss(self, uid: str) -> None:
        """Nothing to do."""

    async def enforced(self) -> None:
        """At once."""


async def secured(isolation: Isolation) -> None:
    """Wait until containers may be started. Raises RuntimeFailure."""
    try:
        await isolation.enforced()
    except TimeoutError as error:
        words = "the node's network has not isolated the pod yet; its containers are started when it has"
        raise RuntimeFailure(words, "NetworkNotReady") from error
