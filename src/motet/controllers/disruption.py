"""Telling a pod, before it goes, that it did not fail but is taken away."""

from __future__ import annotations

from datetime import datetime

from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.kinds import podstatus
from motet.store.document import Document


async def mark_disrupted(
    client: Client, pod: Document, reason: str, message: str, now: datetime, *, phase: str = ""
) -> None:
    """Write the condition, and the phase if one is given. Raises Conflict when the pod has changed, NotFound."""
    changed = pod.decode()
    podstatus.mark_disrupted(changed, reason, message, now)
    if phase:
        changed["status"]["phase"] = phase
    await client.update(pod_kind.KIND, changed, subresource="status")
