"""Containers added to a pod that runs already, to look into it (Kubernetes "Ephemeral Containers").

They are only ever added, through a subresource of their own; everything else about the pod stays as it is.
"""

from __future__ import annotations

from motet.base.errors import FieldError, duplicate, forbidden
from motet.kinds.kind import Aspect, Json
from motet.kinds.podspec.containers import validate_container
from motet.kinds.podspec.mirror import is_mirror
from motet.kinds.shape import mapping, objects, text

PATH = "spec.ephemeralContainers"
# What makes no sense for something that runs once, unsupervised, beside others.
_REFUSED = (
    "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources", "resizePolicy", "restartPolicy",
    "restartPolicyRules",
)  # fmt: skip


def _take(sent: Json, old: Json) -> Json:
    wanted = mapping(sent, "spec").get("ephemeralContainers")
    spec = {key: value for key, value in mapping(old, "spec").items() if key != "ephemeralContainers"}
    if wanted:
        spec["ephemeralContainers"] = wanted
    return {**old, "spec": spec}


def validate(document: Json, old: Json) -> list[FieldError]:
    """Complaints about the ephemeral containers of a pod, and about what became of those it had."""
    if is_mirror(old):
        return [forbidden("", "static pods do not support ephemeral containers")]
    spec = mapping(document, "spec")
    errors = validate_ephemeral(spec)
    now = {text(item, "name"): item for item in objects(spec, "ephemeralContainers")}
    for before in objects(old, "spec", "ephemeralContainers"):
        name = text(before, "name")
        if name not in now:
            errors.append(forbidden(PATH, f'existing ephemeral containers "{name}" may not be removed'))
        elif now[name] != before:
            errors.append(forbidden(PATH, f'existing ephemeral containers "{name}" may not be changed'))
    return errors


def validate_ephemeral(spec: Json) -> list[FieldError]:
    """Each on its own, and their names among those of the pod's other containers."""
    volumes = {text(volume, "name"): volume for volume in objects(spec, "volumes")}
    others = {text(item, "name") for key in ("initContainers", "containers") for item in objects(spec, key)}
    used = set(others)
    errors: list[FieldError] = []
    for index, container in enumerate(objects(spec, "ephemeralContainers")):
        here = f"{PATH}[{index}]"
        errors += validate_container(container, here, spec, volumes)
        name, target = text(container, "name"), text(container, "targetContainerName")
        if name and name in used:
            errors.append(duplicate(f"{here}.name", name))
        used.add(name)
        if target and target not in others:
            errors.append(FieldError(f"{here}.targetContainerName", "FieldValueNotFound", target))
        errors += [
            forbidden(f"{here}.{field}", "cannot be set for an Ephemeral Container")
            for field in _REFUSED
            if container.get(field)
        ]
        for at, mount in enumerate(objects(container, "volumeMounts")):
            errors += [
                forbidden(f"{here}.volumeMounts[{at}].{field}", "cannot be set for an Ephemeral Container")
                for field in ("subPath", "subPathExpr")
                if text(mount, field)
            ]
    return errors


ASPECT = Aspect(take=_take, validate=validate)
