"""Pods: what runs.

The service account, the priority and the tolerations that every pod is given are the API layer's admission, which runs between
`default` and `prepare_create`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from motet.base.errors import FieldError, forbidden
from motet.kinds import podmarks
from motet.kinds.columns import AGE, NAME, NONE, column, text_at
from motet.kinds.kind import PROXY_VERBS, Column, Json, Kind
from motet.kinds.podspec import ephemeral, resize
from motet.kinds.podspec.defaults import default_pod_only, default_spec
from motet.kinds.podspec.resources import quality_of_service
from motet.kinds.podspec.spec import validate_spec
from motet.kinds.podspec.update import validate_change
from motet.kinds.podstatus import summarize
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, objects, text
from motet.store.document import Document


def default(document: Json) -> None:
    spec = made(document, "spec")
    default_spec(spec)
    default_pod_only(spec)


def prepare_create(document: Json) -> None:
    """The priority, and the first status, whatever the sender put there."""
    spec = made(document, "spec")
    if not text(spec, "priorityClassName"):
        # Admission has given one already, where there are classes.
        fill_absent(spec, "priority", 0)
        fill_empty(spec, "preemptionPolicy", "PreemptLowerPriority")
    status: Json = {"phase": "Pending", "qosClass": quality_of_service(spec)}
    if objects(spec, "schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    document["status"] = status


def prepare_update(document: Json, old: Json) -> None:
    """A priority that the sender left out stays."""
    spec, was = made(document, "spec"), mapping(old, "spec")
    for key in ("priority", "preemptionPolicy"):
        if spec.get(key) is None and was.get(key) is not None:
            spec[key] = was[key]


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec, marks = mapping(document, "spec"), mapping(document, "metadata", "annotations")
    errors = podmarks.validate(marks) if old is None or marks != mapping(old, "metadata", "annotations") else []
    if old is not None:
        was = mapping(old, "spec")
        return errors if spec == was else [*errors, *validate_change(spec, was)]
    errors += validate_spec(spec, "spec")
    if objects(spec, "ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if text(spec, "nodeName") and objects(spec, "schedulingGates"):
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def grace_period(document: Json) -> int:
    """Seconds between the first signal and the last one; a negative number means one second."""
    seconds = mapping(document, "spec").get("terminationGracePeriodSeconds")
    if not isinstance(seconds, int):
        return 30
    return seconds if seconds >= 0 else 1


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str | None = None
    restart_policy: str | None = None
    scheduler_name: str | None = None
    service_account_name: str | None = None
    host_network: bool | None = None


class _Status(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    nominated_node_name: str | None = None


class _Fields(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()
    status: _Status = _Status()


def fields(document: Document) -> Mapping[str, str]:
    view = document.view(_Fields)
    spec, status = view.spec, view.status
    return {
        "spec.nodeName": spec.node_name or "",
        "spec.restartPolicy": spec.restart_policy or "",
        "spec.schedulerName": spec.scheduler_name or "",
        "spec.serviceAccountName": spec.service_account_name or "",
        "spec.hostNetwork": "true" if spec.host_network else "false",
        "status.phase": status.phase or "",
        "status.podIP": status.pod_ip or "",
        "status.nominatedNodeName": status.nominated_node_name or "",
    }


def _ready(document: Json) -> str:
    summary = summarize(document)
    return f"{summary.ready}/{summary.total}"


def _restarts(document: Json, now: datetime) -> Any:
    return summarize(document).restarts_text(now)


def _address(document: Json) -> str:
    addresses = objects(document, "status", "podIPs")
    return (text(addresses[0], "ip") if addresses else text(document, "status", "podIP")) or NONE


def _gates(document: Json) -> str:
    gates = objects(document, "spec", "readinessGates")
    if not gates:
        return NONE
    true = {
        text(condition, "type")
        for condition in objects(document, "status", "conditions")
        if text(condition, "status") == "True"
    }
    return f"{sum(text(gate, 'conditionType') in true for gate in gates)}/{len(gates)}"


KIND = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    schema="io.k8s.api.core.v1.Pod",
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    status=True,
    subresources={
        "attach": ("create", "get"),
        "binding": ("create",),
        "eviction": ("create",),
        "exec": ("create", "get"),
        "log": ("get",),
        "portforward": ("create", "get"),
        "proxy": PROXY_VERBS,
    },
    aspects={"ephemeralcontainers": ephemeral.ASPECT, "resize": resize.ASPECT},
    fields=fields,
    field_names=(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    indexed_fields=("spec.nodeName",),
    columns=(
        NAME,
        column("Ready", _ready, about="Containers that are ready, and containers there are."),
        column("Status", lambda document: summarize(document).status, about="The state of the pod in one word."),
        Column("Restarts", _restarts, description="How often containers have been restarted, and when last."),
        AGE,
        column("IP", _address, wide=True, about="The pod's address."),
        column("Node", text_at("spec", "nodeName", otherwise=NONE), wide=True, about="The node it runs on."),
        column(
            "Nominated Node",
            text_at("status", "nominatedNodeName", otherwise=NONE),
            wide=True,
            about="The node where others are being preempted for it.",
        ),
        column("Readiness Gates", _gates, wide=True, about="Further conditions that are true, of those asked for."),
    ),
    graceful=True,
    grace_period=grace_period,
)
