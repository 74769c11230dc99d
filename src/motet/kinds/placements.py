"""What an App says about places: constraints, preferences and the placeholders that depend on them, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks, constraints, placeholders
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, strings, text

_PATH = "spec.placement"


def validate(spec: Json, mode: str) -> list[FieldError]:
    """Complaints about `spec.placement` of an App in this mode."""
    placement = mapping(spec, "placement")
    errors = []
    for index, constraint in enumerate(strings(placement, "constraints")):
        try:
            constraints.parse(constraint)
        except ValueError as problem:
            errors.append(invalid(f"{_PATH}.constraints[{index}]", constraint, str(problem)))
    for index, preference in enumerate(objects(placement, "preferences")):
        path, spread = f"{_PATH}.preferences[{index}].spread", text(preference, "spread")
        try:
            if spread:
                constraints.spread_label(spread)
            else:
                errors.append(required(path))
        except ValueError as problem:
            errors.append(invalid(path, spread, str(problem)))
    most = placement.get("maxReplicasPerNode")
    errors += checks.between(f"{_PATH}.maxReplicasPerNode", most, 0)
    if most and mode.startswith("global"):
        errors.append(forbidden(f"{_PATH}.maxReplicasPerNode", "there is one pod on a node in any case"))
    return errors


def validate_placeholders(spec: Json, everywhere: bool) -> list[FieldError]:
    """Complaints about placeholders. `everywhere`: every pod's node is known from the start."""
    hostname = text(spec, "hostnameTemplate")
    if spec.get("expandTemplates") is not True:
        return [forbidden("spec.hostnameTemplate", "needs expandTemplates")] if hostname else []
    template = mapping(spec, "template", "spec")
    errors = []
    if hostname and text(template, "hostname"):
        errors.append(forbidden("spec.hostnameTemplate", "may not be specified together with the template's hostname"))
    for path, value, early in _texts(spec, hostname):
        if problem := placeholders.problem(value):
            errors.append(invalid(path, value, problem))
        elif not everywhere and placeholders.about_node(value.replace("{{.Node.Hostname}}", "")):
            errors.append(invalid(path, value, "of its node a pod that may run anywhere knows {{.Node.Hostname}} only"))
        elif early and not everywhere and placeholders.about_node(value):
            detail = "the node is not known yet when a pod's volumes are; only global apps may ask for it here"
            errors.append(invalid(path, value, detail))
    return errors


def _texts(spec: Json, hostname: str) -> Iterator[tuple[str, str, bool]]:
    """Path, value, and whether it is needed before the pod has a node."""
    yield "spec.hostnameTemplate", hostname, False
    template = mapping(spec, "template", "spec")
    for key in ("initContainers", "containers"):
        for index, container in enumerate(objects(template, key)):
            here = f"spec.template.spec.{key}[{index}]"
            for at, variable in enumerate(objects(container, "env")):
                yield f"{here}.env[{at}].value", text(variable, "value"), False
            yield from _strings(container.get("volumeMounts"), f"{here}.volumeMounts")
    yield from _strings(template.get("volumes"), "spec.template.spec.volumes")


def _strings(found: Any, path: str) -> Iterator[tuple[str, str, bool]]:
    if isinstance(found, str):
        yield path, found, True
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from _strings(value, f"{path}.{key}")
    elif isinstance(found, list):
        for index, value in enumerate(found):
            yield from _strings(value, f"{path}[{index}]")
