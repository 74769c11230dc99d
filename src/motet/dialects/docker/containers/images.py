"""What an image says of the containers that are made of it, joined with what `docker run` says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

# Of these the container's own counts, if it says anything. Volumes and users of images are the runtime's business.
_INHERITED = ("WorkingDir", "StopSignal", "Healthcheck")


def joined(body: Mapping[str, Any], image: Mapping[str, Any]) -> Json:
    """A request with what it leaves to the image (Engine API, "Create a container")."""
    found = dict(body)
    if not found.get("Entrypoint"):
        if not found.get("Cmd"):
            found["Cmd"] = image.get("Cmd")
        found["Entrypoint"] = image.get("Entrypoint")
    for name in _INHERITED:
        if not found.get(name) and image.get(name):
            found[name] = image[name]
    check = found.get("Healthcheck")
    if isinstance(check, Mapping) and not check.get("Test") and (image.get("Healthcheck") or {}).get("Test"):
        found["Healthcheck"] = {**check, "Test": image["Healthcheck"]["Test"]}
    for name in ("ExposedPorts", "Labels"):
        if image.get(name) or found.get(name):
            found[name] = {**(image.get(name) or {}), **(found.get(name) or {})}
    own = found.get("Env") or []
    if isinstance(own, list):
        named = {str(each).partition("=")[0] for each in own}
        found["Env"] = [each for each in image.get("Env") or () if each.partition("=")[0] not in named] + own
    return found
