"""What services can have here and could never have in Swarm, said by labels (`kinds/applabels.py`), in a ServiceSpec. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from motet.dialects.docker import objects
from motet.dialects.docker.errors import DockerError, bad
from motet.kinds import app as app_kind
from motet.kinds import applabels
from motet.kinds.applabels import LabelError

Json = dict[str, Any]


def add(labels: Mapping[str, str], inside: Mapping[str, str], spec: Json) -> None:
    """Put what the labels of a service ask for into its App's spec, which has its mode and its template.

    `inside` are the labels of its containers. Raises DockerError, by the label's name.
    """
    mode, pod = spec["mode"], spec["template"]["spec"]
    container = pod["containers"][0]
    reserved = container.get("resources", {}).get("requests", {}).get("cpu", "0") != "0"
    try:
        applabels.refuse_inside(inside)
        spec |= applabels.parts(
            labels,
            job=any(each in mode for each in app_kind.JOBS),
            replicated=app_kind.REPLICATED in mode,
            reserves_cpu=reserved,
            name_of=_naming(labels),
        )
        devices = list(applabels.devices(labels))
    except LabelError as error:
        raise bad(str(error)) from error
    for index, (outside, path) in enumerate(devices):
        name = f"device-{index}"
        pod.setdefault("volumes", []).append({"name": name, "hostPath": {"path": outside, "type": "CharDevice"}})
        container.setdefault("volumeDevices", []).append({"name": name, "devicePath": path})


def shown(labels: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, str]:
    """The labels of a service, saying what its App has now."""
    return applabels.shown(labels, spec, _naming(labels))


def _naming(labels: Mapping[str, str]) -> Callable[[str], str]:
    """What others are called: within a stack names are those of its own services, as they are in its file."""
    stack = labels.get(objects.STACK, "")

    def name_of(name: str) -> str:
        try:
            inside = objects.object_name(stack, "stack") + "-" if stack else ""
            plain = objects.object_name(name, "service")
        except DockerError as error:
            raise LabelError(applabels.DEPENDS_ON, error.message) from error
        return plain if plain.startswith(inside) else f"{inside}{plain}"

    return name_of
