"""An operator as people write them with kopf, for cron tabs: run by `kopf run`, never imported by a test."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("example.com", "v1", "crontabs")
def made(spec: kopf.Spec, patch: kopf.Patch, body: kopf.Body, **_: Any) -> dict[str, str]:
    patch.status["replicas"] = spec["replicas"]
    kopf.info(body, reason="Made", message=f"runs {spec['schedule']}")
    return {"schedule": spec["schedule"]}


@kopf.on.update("example.com", "v1", "crontabs", field="spec.schedule")
def changed(old: str, new: str, patch: kopf.Patch, retry: int, **_: Any) -> None:
    if not retry:
        raise kopf.TemporaryError("not at the first attempt", delay=0.1)
    patch.status["selector"] = f"{old} -> {new}"


@kopf.on.delete("example.com", "v1", "crontabs")
def gone(body: kopf.Body, **_: Any) -> None:
    kopf.info(body, reason="Gone", message="cleared up")
