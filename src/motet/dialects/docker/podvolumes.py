"""A service's mounts, secrets and configs as a pod's volumes. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from motet.base import quantity
from motet.dialects.docker import objects
from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import PLACEHOLDER, Surroundings
from motet.kinds import podmarks

Json = dict[str, Any]


def put(container: Fields, made: Json, spec: Json, around: Surroundings) -> dict[str, str]:
    """Put volumes and their mounts into the pod; the annotations that it needs for them."""
    volumes: list[Json] = []
    owners: dict[str, podmarks.Owner] = {}
    templates = []
    mounts: list[Json] = []
    for index, mount in enumerate(container.each("Mounts")):
        name = f"mount-{index}"
        volume, mounted = mount_of(mount, around)
        volumes.append({"name": name, **volume})
        mounts.append({"name": name, **mounted})
    for what, member, key in (("Secrets", "secret", "secretName"), ("Configs", "configMap", "name")):
        for index, use in enumerate(container.each(what)):
            name = f"{what[:-1].lower()}-{index}"
            source, mode, target, owner = _file(use, what)
            if owner != (0, 0):
                owners[name] = owner
            if (what, use.text(f"{what[:-1]}Name")) in around.templates:
                templates.append(name)
            volumes.append({"name": name, member: {key: source, "defaultMode": mode}})
            mounts.append({"name": name, "mountPath": target, "subPath": objects.CONTENT, "readOnly": True})
    if volumes:
        spec["volumes"] = volumes
        made["volumeMounts"] = mounts
    found = {podmarks.FILE_OWNERS: podmarks.owners_text(owners), podmarks.EXPANDED: ",".join(templates)}
    return {key: value for key, value in found.items() if value}


def _file(use: Fields, what: str) -> tuple[str, int, str, podmarks.Owner]:
    """(the object, the mode, where it is mounted, the owner) of a secret or config."""
    word = what[:-1]
    source = use.text(f"{word}Name")
    use.ignore(f"{word}ID")
    if use.raw("Runtime") is not None:
        raise unsupported(use.at("Runtime"), "credential specs are Windows'")
    file = use.fields("File")
    target = file.text("Name") or source
    user, group = (_number(file, each) for each in ("UID", "GID"))
    mode = file.natural("Mode", 0o444)
    file.finish()
    use.finish()
    if not source:
        raise bad(f"{use.at(f'{word}Name')}: it is needed")
    if not target.startswith("/"):
        target = str(PurePosixPath("/run/secrets" if word == "Secret" else "/") / target)
    return objects.object_name(source, word.lower()), mode & 0o777, target, (user, group)


def _number(file: Fields, owner: str) -> int:
    text = file.text(owner, "0") or "0"
    if not text.isdecimal():
        raise unsupported(file.at(owner), f"{text!r}: only numbers, since the node does not look into images")
    return int(text)


def mount_of(mount: Fields, around: Surroundings) -> tuple[Json, Json]:
    """(volume, mount), without their name."""
    kind = mount.choice("Type", ("bind", "volume", "tmpfs", "npipe", "cluster", "image"), "volume")
    source, target = mount.text("Source"), mount.text("Target")
    mounted: Json = {"mountPath": target}
    if not target:
        raise bad(f"{mount.at('Target')}: invalid mount target, must be an absolute path in the container")
    if mount.truth("ReadOnly"):
        mounted["readOnly"] = True
    mount.ignore("Consistency")
    found: Json
    match kind:
        case "bind":
            found = {"hostPath": {"path": source, "type": _binding(mount.fields("BindOptions"), mounted)}}
        case "volume":
            found = _volume(source, mount.fields("VolumeOptions"), mounted, around)
        case "tmpfs":
            options = mount.fields("TmpfsOptions")
            found = {"emptyDir": {"medium": "Memory"}}
            if size := options.natural("SizeBytes"):
                found["emptyDir"]["sizeLimit"] = quantity.format_bytes(size)
            options.finish()
        case _:
            raise unsupported(f"{mount.at('Type')} {kind}")
    mount.finish()
    return found, mounted


def _binding(options: Fields, mounted: Json) -> str:
    propagation = options.choice(
        "Propagation", ("private", "rprivate", "slave", "rslave", "shared", "rshared"), "rprivate"
    )
    if propagation.endswith("shared"):
        raise unsupported(options.at("Propagation"), f"{propagation} needs a privileged container")
    if propagation.endswith("slave"):
        mounted["mountPropagation"] = "HostToContainer"
    create = options.truth("CreateMountpoint")
    options.finish()
    return "DirectoryOrCreate" if create else ""


def _volume(source: str, options: Fields, mounted: Json, around: Surroundings) -> Json:
    labels = options.map("Labels")
    driver = options.fields("DriverConfig")
    if driver.text("Name", "local") != "local":
        raise unsupported(driver.at("Name"), "volumes are local ones")
    driver.refuse("a local volume is a directory and takes no options", "Options")
    driver.finish()
    if subpath := options.text("Subpath"):
        mounted["subPath"] = subpath
    # What an image has at that place is not copied into a new volume.
    options.ignore("NoCopy")
    options.finish()
    if not source:
        return {"emptyDir": {}}
    if around.everywhere or PLACEHOLDER in source:
        # A volume of each node's own, by name, as Swarm has it.
        return {"hostPath": {"path": f"{around.volumes_dir}/docker/{source}", "type": "DirectoryOrCreate"}}
    around.volumes[source] = labels
    return {"persistentVolumeClaim": {"claimName": objects.object_name(source, "volume")}}
