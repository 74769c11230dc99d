"""Changing what the containers of a running pod may use (Kubernetes "Resize CPU and Memory Resources assigned to Containers").

Through a subresource of its own: it takes the resources of ordinary containers and sidecars and how they want to be
resized, and nothing else of what is sent.
"""

from __future__ import annotations

from motet.base.errors import FieldError, forbidden, invalid
from motet.kinds.kind import Aspect, Json
from motet.kinds.podspec.containers import is_sidecar, validate_resize_policy
from motet.kinds.podspec.mirror import is_mirror
from motet.kinds.podspec.resources import quality_of_service, validate_resources
from motet.kinds.shape import mapping, objects, text

_PARTS = ("resources", "resizePolicy")
_MUTABLE = ("cpu", "memory")


def _take(sent: Json, old: Json) -> Json:
    spec = dict(mapping(old, "spec"))
    for key in ("containers", "initContainers"):
        wanted = {text(item, "name"): item for item in objects(sent, "spec", key)}
        if key in spec:
            spec[key] = [_resized(item, wanted.get(text(item, "name"), item), key) for item in objects(spec, key)]
    return {**old, "spec": spec}


def _resized(container: Json, wanted: Json, key: str) -> Json:
    if key == "initContainers" and not is_sidecar(container):
        return container
    rest = {field: value for field, value in container.items() if field not in _PARTS}
    return {**rest, **{field: wanted[field] for field in _PARTS if wanted.get(field) is not None}}


def validate(document: Json, old: Json) -> list[FieldError]:
    """Complaints about resizing `old` to `document`."""
    if is_mirror(old):
        return [forbidden("", "static pods cannot be resized")]
    spec, was = mapping(document, "spec"), mapping(old, "spec")
    errors: list[FieldError] = []
    for key in ("containers", "initContainers"):
        for index, (new, before) in enumerate(zip(objects(spec, key), objects(was, key), strict=True)):
            here = f"spec.{key}[{index}]"
            errors += validate_resources(mapping(new, "resources"), f"{here}.resources")
            errors += validate_resize_policy(new, here)
            errors += _change(mapping(new, "resources"), mapping(before, "resources"), f"{here}.resources")
    quality = quality_of_service(spec)
    if quality != quality_of_service(was):
        errors.append(invalid("spec", quality, "Pod QOS Class may not change as a result of resizing"))
    return errors


def _change(new: Json, old: Json, path: str) -> list[FieldError]:
    errors = []
    for side, word in (("limits", "limits"), ("requests", "requests")):
        now, before = mapping(new, side), mapping(old, side)
        if any(name in before and name not in now for name in _MUTABLE):
            errors.append(forbidden(f"{path}.{side}", f"resource {word} cannot be removed"))
        others = {*now, *before} - set(_MUTABLE)
        if any(now.get(name) != before.get(name) for name in others):
            errors.append(forbidden(f"{path}.{side}", "only cpu and memory resources are mutable"))
    if new.get("claims") != old.get("claims"):
        errors.append(forbidden(f"{path}.claims", "only cpu and memory resources are mutable"))
    return errors


ASPECT = Aspect(take=_take, validate=validate)
