"""What the life of a pod needs of the node's network: that a pod is isolated before it can send anything.

The node knows a pod's address when its sandbox is made, long before the address has gone to the API and come back. So it is
told at once, and no container is started before the rules that follow from it are in force.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from motet.kinds import pod as pod_kind
from motet.pods import model
from motet.runtime.interface import NoSuchContainer, Runtime, RuntimeFailure, Sandbox
from motet.store.document import Document, Key


class Isolation(Protocol):
    """The roster of the node's network."""

    def admit(self, document: Document, address: str, sandbox: str = "", second: str = "") -> None:
        """This pod of the node has this address, in a sandbox of this id; cheap when that is known."""
        ...

    def dismiss(self, uid: str) -> None:
        """This pod has no address any more."""
        ...

    async def enforced(self) -> None:
        """Return once all rules that follow from what is known now are in force. Raises TimeoutError."""
        ...


class NoIsolation:
    """A node whose network isolates nothing."""

    def admit(self, document: Document, address: str, sandbox: str = "", second: str = "") -> None:
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


async def recall(runtime: Runtime, isolation: Isolation, node_name: str) -> None:
    """Enter what an earlier agent left running, before any rule is written anew: the API may not know all of it.

    What is needed of a pod is in its sandbox's labels and annotations. Raises RuntimeFailure.
    """
    for listed in await runtime.sandboxes():
        if not listed.ready or listed.labels.get(model.NODE, node_name) != node_name:
            continue
        try:
            sandbox = await runtime.sandbox(listed.id)
        except NoSuchContainer:
            continue
        if sandbox.ips:
            isolation.admit(_remembered(sandbox, node_name), sandbox.ips[0], sandbox.id, second(sandbox))


def second(sandbox: Sandbox) -> str:
    """The IPv6 address of a sandbox that has one beside that of IPv4."""
    return next((each for each in sandbox.ips[1:] if ":" in each), "")


def _remembered(sandbox: Sandbox, node_name: str) -> Document:
    """The pod as far as its sandbox tells; older than whatever the API says of it."""
    metadata = {
        "name": sandbox.name,
        "namespace": sandbox.namespace,
        "uid": sandbox.uid,
        "labels": {key: value for key, value in sandbox.labels.items() if key not in model.OWN_LABELS},
        "annotations": sandbox.annotations,
    }
    raw = msgspec.json.encode({"metadata": metadata, "spec": {"nodeName": node_name}})
    return Document(Key(pod_kind.KIND.resource, sandbox.namespace, sandbox.name), raw, 0)
