"""What `docker run` mounts, and the devices of the node that it is given, as volumes of a pod. Pure."""

from __future__ import annotations

from typing import Any

from motet.base import quantity
from motet.dialects.docker import objects, podvolumes
from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import Surroundings

Json = dict[str, Any]

_SHM = "/dev/shm"  # noqa: S108


def add(body: Fields, host: Fields, part: Json, spec: Json, around: Surroundings) -> None:
    """Put everything that is mounted on a pod and its container. Raises DockerError."""
    volumes: list[Json] = []
    mounted: list[Json] = []

    def put(volume: Json, mount: Json) -> None:
        name = f"mount-{len(volumes)}"
        volumes.append({"name": name, **volume})
        mounted.append({"name": name, **mount})

    for entry in host.texts("Binds"):
        put(*_bind(entry, host.at("Binds"), around))
    for mount in host.each("Mounts"):
        put(*podvolumes.mount_of(mount, around))
    for target, options in host.map("Tmpfs").items():
        put(_tmpfs(options, host.at("Tmpfs")), {"mountPath": target})
    taken = {each["mountPath"] for each in mounted}
    for target in body.fields("Volumes").items:
        if target not in taken:
            put({"emptyDir": {}}, {"mountPath": target})
    if size := host.natural("ShmSize"):
        put({"emptyDir": {"medium": "Memory", "sizeLimit": quantity.format_bytes(size)}}, {"mountPath": _SHM})
    devices = [_device(each) for each in host.each("Devices")]
    for index, (outside, inside) in enumerate(devices):
        name = f"device-{index}"
        volumes.append({"name": name, "hostPath": {"path": outside, "type": "CharDevice"}})
        part.setdefault("volumeDevices", []).append({"name": name, "devicePath": inside})
    if volumes:
        spec["volumes"] = volumes
    if mounted:
        part["volumeMounts"] = mounted


def _device(device: Fields) -> tuple[str, str]:
    """(path on the node, path in the container)."""
    outside, inside = device.text("PathOnHost"), device.text("PathInContainer")
    if device.text("CgroupPermissions", "rwm") != "rwm":
        raise unsupported(device.at("CgroupPermissions"), "permissions other than rwm")
    device.finish()
    if not outside.startswith("/dev/") or ".." in outside.split("/"):
        raise unsupported(device.at("PathOnHost"), f"{outside!r}: devices are below /dev")
    return outside, inside or outside


def _bind(entry: str, path: str, around: Surroundings) -> tuple[Json, Json]:
    """`SOURCE:TARGET[:OPTIONS]`; a source without a slash is a volume."""
    match entry.split(":"):
        case [target]:
            source, options = "", ""
        case [source, target]:
            options = ""
        case [source, target, options]:
            pass
        case _:
            raise bad(f"invalid volume specification: '{entry}'")
    mount: Json = {"mountPath": target}
    if not target.startswith("/"):
        raise bad(
            f"invalid volume specification: '{entry}': invalid mount path: '{target}' mount path must be absolute"
        )
    for option in filter(None, options.split(",")):
        match option:
            case "ro":
                mount["readOnly"] = True
            case "rslave" | "slave":
                mount["mountPropagation"] = "HostToContainer"
            # Labels of SELinux, what an image has at the place, and what is so anyway.
            case "rw" | "z" | "Z" | "nocopy" | "rprivate" | "private" | "cached" | "delegated" | "consistent":
                pass
            case _:
                raise unsupported(f"{path} {entry!r}", option)
    if not source:
        return {"emptyDir": {}}, mount
    if source.startswith("/"):
        return {"hostPath": {"path": source}}, mount
    around.volumes[source] = {}
    return {"persistentVolumeClaim": {"claimName": objects.object_name(source, "volume")}}, mount


def _tmpfs(options: str, path: str) -> Json:
    found: Json = {"medium": "Memory"}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name == "size":
            found["sizeLimit"] = quantity.format_bytes(_size(value, path))
        elif option not in ("rw", "nosuid", "nodev"):
            raise unsupported(path, option)
    return {"emptyDir": found}


def _size(text: str, path: str) -> int:
    """`64m` in bytes."""
    number, unit = (text[:-1], text[-1].lower()) if text and text[-1].isalpha() else (text, "")
    factor = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(unit)
    if factor is None or not number.isdigit():
        raise bad(f"{path}: {text!r} is no size")
    return int(number) * factor
