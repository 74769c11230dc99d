"""Probes and lifecycle hooks: exactly one way each of asking a container something."""

from __future__ import annotations

from collections.abc import Iterable

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, strings, text

PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def validate_probes(container: Json, path: str) -> list[FieldError]:
    """All three probes of a container."""
    errors = []
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if isinstance(probe, dict):
            errors += _probe(probe, kind, f"{path}.{kind}")
    return errors


def validate_lifecycle(container: Json, path: str, grace_period: int) -> list[FieldError]:
    """Both hooks of a container; a `sleep` has to end within the grace period."""
    errors = []
    for hook in ("postStart", "preStop"):
        handler = mapping(container, "lifecycle").get(hook)
        if not isinstance(handler, dict):
            continue
        here = f"{path}.lifecycle.{hook}"
        errors += _handler(handler, HOOK_HANDLERS, here)
        seconds = mapping(handler, "sleep").get("seconds")
        if isinstance(seconds, int) and not 0 <= seconds <= grace_period:
            detail = (
                f"must be non-negative and less than terminationGracePeriodSeconds ({grace_period}). "
                "Note that Zero value is supported with PodLifecycleSleepActionAllowZero feature gate enabled"
            )
            errors.append(invalid(f"{here}.sleep", seconds, detail))
    return errors


def _probe(probe: Json, kind: str, path: str) -> list[FieldError]:
    errors = _handler(probe, PROBE_HANDLERS, path)
    errors += checks.not_negative(
        probe,
        path,
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    )
    if kind != "readinessProbe" and probe.get("successThreshold") not in (None, 1):
        errors.append(invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    grace = probe.get("terminationGracePeriodSeconds")
    if isinstance(grace, int):
        if kind == "readinessProbe":
            errors.append(
                invalid(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
            )
        elif grace <= 0:
            errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    return errors


def _handler(handler: Json, allowed: Iterable[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [kind for kind in allowed if isinstance(handler.get(kind), dict)]
    if not given:
        return [required(path, "must specify a handler type")]
    errors += [forbidden(f"{path}.{extra}", "may not specify more than 1 handler type") for extra in given[1:]]
    kind = given[0]
    action = handler[kind]
    here = f"{path}.{kind}"
    match kind:
        case "exec":
            if not strings(action, "command"):
                errors.append(required(f"{here}.command"))
        case "httpGet":
            errors += _http_get(action, here)
        case "tcpSocket":
            errors += checks.port_or_name(f"{here}.port", action.get("port"))
        case "grpc":
            errors += checks.port(f"{here}.port", action.get("port", 0))
    return errors


def _http_get(action: Json, path: str) -> list[FieldError]:
    errors = []
    if not text(action, "path"):
        errors.append(required(f"{path}.path"))
    errors += checks.port_or_name(f"{path}.port", action.get("port"))
    errors += checks.one_of(f"{path}.scheme", text(action, "scheme"), ("HTTP", "HTTPS"))
    for index, header in enumerate(objects(action, "httpHeaders")):
        name = text(header, "name")
        if not name or any(not (ch.isascii() and (ch.isalnum() or ch == "-")) for ch in name):
            detail = (
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used "
                "for validation is '[-A-Za-z0-9]+')"
            )
            errors.append(invalid(f"{path}.httpHeaders[{index}].name", name, detail))
    host = text(action, "host")
    if "/" in host or " " in host:
        errors.append(invalid(f"{path}.host", host, names.SUBDOMAIN_MESSAGE))
    return errors
