"""The containers of a pod: init, ordinary and ephemeral ones, each alone and all together."""

from __future__ import annotations

from collections.abc import Mapping

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.podspec.environment import validate_environment
from motet.kinds.podspec.handlers import validate_lifecycle, validate_probes
from motet.kinds.podspec.resources import validate_resources
from motet.kinds.podspec.security import validate_container_context
from motet.kinds.podspec.volumes import validate_mounts
from motet.kinds.shape import mapping, number, objects, text

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
RESTART_POLICIES = ("Always", "Never", "OnFailure")


def is_sidecar(container: Json) -> bool:
    """An init container that keeps running beside the ordinary ones."""
    return text(container, "restartPolicy") == "Always"


def validate_containers(spec: Json, path: str, volumes: Mapping[str, Json]) -> list[FieldError]:
    """All containers of a pod specification."""
    errors: list[FieldError] = []
    if not objects(spec, "containers"):
        errors.append(required(f"{path}.containers"))
    used_names: set[str] = set()
    host_ports: set[tuple[str, str, int]] = set()
    grace = number(spec, "terminationGracePeriodSeconds")
    for key in ("initContainers", "containers"):
        for index, container in enumerate(objects(spec, key)):
            here = f"{path}.{key}[{index}]"
            errors += validate_container(container, here, spec, volumes)
            errors += _restarts(container, here)
            name = text(container, "name")
            if name and name in used_names:
                errors.append(duplicate(f"{here}.name", name))
            used_names.add(name)
            if key == "containers" or is_sidecar(container):
                errors += validate_probes(container, here) + validate_lifecycle(container, here, grace)
                errors += _host_ports(container, here, host_ports)
            else:
                errors += _plain_init(container, here)
    return errors


def validate_container(container: Json, path: str, spec: Json, volumes: Mapping[str, Json]) -> list[FieldError]:
    """One container of any sort, but for what only some sorts may have."""
    image = text(container, "image")
    errors = checks.named(f"{path}.name", text(container, "name"), names.label_error)
    if not image:
        errors.append(required(f"{path}.image"))
    elif image != image.strip():
        errors.append(invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    errors += checks.one_of(f"{path}.imagePullPolicy", text(container, "imagePullPolicy"), PULL_POLICIES)
    policy = text(container, "terminationMessagePolicy")
    if policy not in ("", "File", "FallbackToLogsOnError"):
        errors.append(invalid(f"{path}.terminationMessagePolicy", policy, "must be 'File' or 'FallbackToLogsOnError'"))
    return [
        *errors,
        *_ports(container, path, host_network=spec.get("hostNetwork") is True),
        *validate_environment(container, path),
        *validate_mounts(container, path, volumes),
        *validate_resources(mapping(container, "resources"), f"{path}.resources"),
        *validate_resize_policy(container, path),
        *validate_container_context(container, path, spec.get("hostUsers")),
    ]


def _ports(container: Json, path: str, *, host_network: bool) -> list[FieldError]:
    errors = []
    used: set[str] = set()
    for index, port in enumerate(objects(container, "ports")):
        here = f"{path}.ports[{index}]"
        name = text(port, "name")
        errors += checks.named(f"{here}.name", name, names.port_name_error, needed=False)
        if name and name in used:
            errors.append(duplicate(f"{here}.name", name))
        used.add(name)
        own, host = number(port, "containerPort"), number(port, "hostPort")
        if not own:
            errors.append(required(f"{here}.containerPort"))
        else:
            errors += checks.port(f"{here}.containerPort", own)
        if host:
            errors += checks.port(f"{here}.hostPort", host)
            if host_network and host != own:
                detail = "must match `hostPort` when `hostNetwork` is true"
                errors.append(invalid(f"{here}.containerPort", own, detail))
        if text(port, "hostIP"):
            errors += checks.ip(f"{here}.hostIP", text(port, "hostIP"))
        errors += checks.one_of(f"{here}.protocol", text(port, "protocol"), PROTOCOLS)
    return errors


def _host_ports(container: Json, path: str, taken: set[tuple[str, str, int]]) -> list[FieldError]:
    errors = []
    for index, port in enumerate(objects(container, "ports")):
        claim = (text(port, "protocol"), text(port, "hostIP"), number(port, "hostPort"))
        if claim[2]:
            if claim in taken:
                errors.append(duplicate(f"{path}.ports[{index}].hostPort", "/".join(map(str, claim))))
            taken.add(claim)
    return errors


def _plain_init(container: Json, path: str) -> list[FieldError]:
    return [
        forbidden(f"{path}.{key}", "may not be set for init containers without restartPolicy=Always")
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
        if container.get(key) is not None
    ]


def _restarts(container: Json, path: str) -> list[FieldError]:
    policy = text(container, "restartPolicy")
    errors = checks.one_of(f"{path}.restartPolicy", policy, RESTART_POLICIES, needed=False)
    rules = objects(container, "restartPolicyRules")
    if rules and not policy:
        errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    for index, rule in enumerate(rules):
        here = f"{path}.restartPolicyRules[{index}]"
        errors += checks.one_of(f"{here}.action", text(rule, "action"), ("Restart", "RestartAllContainers"))
        codes = mapping(rule, "exitCodes")
        if not codes:
            errors.append(required(f"{here}.exitCodes", "must be specified"))
            continue
        errors += checks.one_of(f"{here}.exitCodes.operator", text(codes, "operator"), ("In", "NotIn"))
    return errors


def validate_resize_policy(container: Json, path: str) -> list[FieldError]:
    """What has to happen to a container whose resources change."""
    errors = []
    seen: set[str] = set()
    for index, policy in enumerate(objects(container, "resizePolicy")):
        here = f"{path}.resizePolicy[{index}]"
        resource = text(policy, "resourceName")
        errors += checks.one_of(f"{here}.resourceName", resource, ("cpu", "memory"))
        errors += checks.one_of(
            f"{here}.restartPolicy", text(policy, "restartPolicy"), ("NotRequired", "RestartContainer")
        )
        if resource in seen:
            errors.append(duplicate(here, resource))
        seen.add(resource)
    return errors
