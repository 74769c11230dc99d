"""The condition that tells a pod's owner that the pod did not fail but was taken away (`DisruptionTarget`, KEP-3329)."""

from __future__ import annotations

from datetime import datetime

from motet.base import timestamps
from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.store.document import Document


async def mark_disrupted(
    client: Client, pod: Document, reason: str, message: str, now: datetime, *, phase: str = ""
) -> None:
    """Write the condition, and the phase if one is given. Raises Conflict when the pod has changed, NotFound."""
    changed = pod.decode()
    status = changed.setdefault("status", {})
    kept = [each for each in status.get("conditions") or () if each["type"] != "DisruptionTarget"]
    stamp = timestamps.format_time(now)
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    status["conditions"] = [*kept, {**condition, "lastTransitionTime": stamp}]
    if phase:
        status["phase"] = phase
    await client.update(pod_kind.KIND, changed, subresource="status")
