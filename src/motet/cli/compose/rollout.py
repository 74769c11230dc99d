"""How an App keeps a service up: how many, where, replaced how, and what follows an end. Pure."""

from __future__ import annotations

from typing import Any

from motet.cli.compose.model import (
    GLOBAL_JOB,
    REPLICATED_JOB,
    Placement,
    Project,
    Restart,
    Service,
    Update,
)

Json = dict[str, Any]

_RESTART = {"any": "Always", "on-failure": "OnFailure", "none": "Never"}


def object_name(name: str) -> str:
    """Compose names may have underscores and capitals, the kernel's may not."""
    return name.replace("_", "-").lower()


def of(project: Project, service: Service) -> Json:
    """The App's spec, without its template."""
    found: Json = {"mode": _mode(service)}
    if not is_job(service):
        # Whoever typed `motet up` waits and judges; what crashes while it looks for another service is not held back.
        found["update"] = {"failureAction": "continue", **_update(service.update)}
        if service.rollback is not None:
            found["rollback"] = _update(service.rollback)
    if restart := _restart(project, service):
        found["restart"] = restart
    found |= service.wishes
    waits = {object_name(other): condition for other, condition in service.depends_on}
    waits |= {each["name"]: each["condition"] for each in service.wishes.get("dependsOn", ())}
    if waits:
        found["dependsOn"] = [{"name": name, "condition": condition} for name, condition in waits.items()]
    if placement := _placement(service.placement):
        found["placement"] = placement
    return found


def is_job(service: Service) -> bool:
    """Whether it runs to its end and not for ever."""
    return service.mode in (REPLICATED_JOB, GLOBAL_JOB)


def restart_policy(project: Project, service: Service) -> str:
    """The pods' own. Tasks are replaced, not restarted."""
    return "Never" if _replaces(service) else _RESTART[_condition(project, service)]


def _replaces(service: Service) -> bool:
    return is_job(service) or service.restart.replaces


def _condition(project: Project, service: Service) -> str:
    """What the file says; else again after every end, except for a service whose successful end others wait for."""
    if service.restart.condition:
        return service.restart.condition
    awaited = any((service.name, "completed") in other.depends_on for other in project.services)
    return "on-failure" if awaited or is_job(service) else "any"


def _mode(service: Service) -> Json:
    match service.mode:
        case "global":
            return {"global": {}}
        case "global-job":
            return {"globalJob": {}}
        case "replicated-job":
            return {"replicatedJob": {"maxConcurrent": service.replicas, "totalCompletions": service.replicas}}
    autoscaled = "autoscale" in service.wishes and not service.sized
    return {"replicated": {} if autoscaled else {"replicas": service.replicas}}


def _restart(project: Project, service: Service) -> Json:
    if not _replaces(service):
        return {}
    given: Restart = service.restart
    found: Json = {"condition": _condition(project, service), "delaySeconds": given.delay or 0}
    if given.attempts:
        found["maxAttempts"] = given.attempts
    if given.window:
        found["windowSeconds"] = given.window
    return found


def _update(given: Update | None) -> Json:
    if given is None:
        return {}
    found = {
        "parallelism": given.parallelism,
        "delaySeconds": given.delay,
        "failureAction": given.failure_action,
        "monitorSeconds": given.monitor,
        "maxFailureRatio": given.max_failure_ratio,
        "order": given.order,
    }
    return {key: value for key, value in found.items() if value is not None}


def _placement(given: Placement) -> Json:
    found: Json = {}
    if given.constraints:
        found["constraints"] = list(given.constraints)
    if given.preferences:
        found["preferences"] = [{"spread": spread} for spread in given.preferences]
    if given.most_per_node:
        found["maxReplicasPerNode"] = given.most_per_node
    return found
