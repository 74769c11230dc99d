"""Places in a container's file system: `volumes`, `tmpfs` and `shm_size` of a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from motet.cli.compose import units
from motet.cli.compose.model import Device, Mount
from motet.cli.compose.source import Fields, Value, text

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where POSIX shared memory is
_KINDS = ("volume", "bind", "tmpfs")
_PROPAGATIONS = {
    "private": "",
    "rprivate": "",
    "slave": "HostToContainer",
    "rslave": "HostToContainer",
    "shared": "Bidirectional",
    "rshared": "Bidirectional",
}
# Options of a tmpfs that say what is so anyway.
_IDLE = ("rw", "exec", "nosuid", "nodev", "mode=777", "mode=0777", "mode=1777", "mode=01777")
_MODES = (0o777, 0o1777)


def read(service: Fields) -> tuple[Mount, ...]:
    """All of them. Two at one place are a mistake."""
    found: list[Mount] = []
    for at, mount in _all(service):
        if not mount.target.startswith("/"):
            service.source.problem(at, f"the path in the container must be absolute, found {mount.target!r}")
        if any(other.target == mount.target for other in found):
            service.source.problem(at, f"two volumes are mounted at {mount.target}")
        found.append(mount)
    return tuple(found)


def devices(service: Fields) -> Iterator[Device]:
    """`devices`: SOURCE[:TARGET[:PERMISSIONS]], or as a map."""
    for item in service.listed("devices"):
        if item.is_map:
            fields = Fields(service.source, item)
            source, target = fields.text("source"), fields.text("target")
            permissions = fields.text("permissions")
            fields.finish()
        else:
            source, _, rest = text(service.source, item).partition(":")
            target, _, permissions = rest.partition(":")
        if not source.startswith("/dev/") or ".." in source.split("/") or (target and not target.startswith("/")):
            service.source.problem(item, f"expected /dev/NAME[:/PATH/INSIDE], found {source}")
        elif set(permissions) not in (set(), set("rwm")):
            service.source.problem(item, f"a device is for everything (rwm), found {permissions!r}")
        else:
            # Every node that runs the service has it; what kind it is, this one says.
            yield Device(source, target or source, Path(source).is_block_device())


def of_others(service: Fields) -> Iterator[tuple[str, bool]]:
    """`volumes_from`: (service, whether to read only)."""
    for item in service.listed("volumes_from"):
        name, *options = text(service.source, item).split(":")
        if name == "container":
            service.source.problem(item, "containers that are not of the file are not known; name a service")
        elif len(options) > 1 or not {*options} <= {"ro", "rw"}:
            service.source.problem(item, f"expected SERVICE[:ro|rw], found {item.content!r}")
        else:
            yield name, options == ["ro"]


def _all(service: Fields) -> Iterator[tuple[Value, Mount]]:
    for item in service.listed("volumes"):
        mount = _long(Fields(service.source, item)) if item.is_map else _short(service, item)
        if mount is not None:
            yield item, mount
    for option in service.texts("tmpfs"):
        yield service.items["tmpfs"], _tmpfs(service, option)
    if size := service.measured("shm_size", units.size):
        yield service.items["shm_size"], Mount("tmpfs", SHARED_MEMORY, size=size)


def _short(service: Fields, at: Value) -> Mount | None:
    parts = text(service.source, at).split(":")
    if len(parts) == 1:
        return Mount("volume", parts[0])
    options = parts[2].split(",") if len(parts) == 3 else []
    # z and Z relabel for SELinux; nocopy is what happens anyway.
    if len(parts) > 3 or not {*options} <= {"ro", "rw", "z", "Z", "nocopy", *_PROPAGATIONS}:
        service.source.problem(at, "expected [SOURCE:]TARGET[:ro|rw]")
        return None
    propagation = next((_PROPAGATIONS[option] for option in options if option in _PROPAGATIONS), "")
    if parts[0].startswith((".", "/", "~")):
        host = str(at.origin.path(parts[0]).resolve())
        return Mount("bind", parts[1], host, "ro" in options, propagation=_allowed(service, at, propagation))
    return Mount("volume", parts[1], parts[0], "ro" in options)


def _long(fields: Fields) -> Mount:
    kind = fields.choice("type", _KINDS, "volume")
    source, target, read_only = fields.text("source"), fields.text("target"), fields.truth("read_only")
    # How strictly a virtual machine's view must agree with the host's; here they are the same.
    fields.text("consistency")
    mount = Mount(kind, target, source, read_only)
    if kind == "volume" and (volume := fields.fields("volume")) is not None:
        volume.truth("nocopy")
        mount = Mount(kind, target, source, read_only, subpath=volume.text("subpath"))
        volume.finish()
    elif kind == "tmpfs" and (tmpfs := fields.fields("tmpfs")) is not None:
        mount = Mount(kind, target, "", read_only, tmpfs.measured("size", units.size) or 0)
        mode = tmpfs.measured("mode", units.octal)
        if mode is not None and mode not in _MODES:
            tmpfs.source.problem(tmpfs.items["mode"], "a tmpfs is writable by everybody (1777)")
        tmpfs.finish()
    elif kind == "bind":
        mount = _bind(fields, source, target, read_only)
    fields.finish()
    return mount


def _bind(fields: Fields, source: str, target: str, read_only: bool) -> Mount:
    if not source:
        fields.source.problem(fields.at, "expected `source`, the path on the host")
    host = fields.at.origin.path(source).resolve()
    bind = fields.fields("bind")
    if bind is None:
        return Mount("bind", target, str(host), read_only)
    create = bind.truth("create_host_path", True)
    if not create and not host.exists():
        fields.source.problem(fields.at, f"the host path {host} does not exist")
    propagation = _PROPAGATIONS[bind.choice("propagation", tuple(_PROPAGATIONS), "rprivate")]
    bind.choice("recursive", ("enabled",), "enabled")
    bind.choice("selinux", ("z", "Z"), "z")
    allowed = _allowed(fields, bind.items.get("propagation", fields.at), propagation)
    bind.finish()
    return Mount("bind", target, str(host), read_only, create=create, propagation=allowed)


def _allowed(fields: Fields, at: Value, propagation: str) -> str:
    if propagation == "Bidirectional":
        fields.source.problem(at, "a container's own mounts do not reach the node; use rslave for the other direction")
        return ""
    return propagation


def _tmpfs(service: Fields, given: str) -> Mount:
    """`PATH[:OPTION,...]`, with the options of mount(8)."""
    target, _, listed = given.partition(":")
    size, read_only = 0, False
    for option in filter(None, listed.split(",")):
        name, _, value = option.partition("=")
        if option == "ro":
            read_only = True
        elif name == "size":
            try:
                size = units.size(value)
            except ValueError as error:
                service.source.problem(service.items["tmpfs"], str(error))
        elif option not in _IDLE:
            service.source.problem(
                service.items["tmpfs"], f"the option {option!r} is not supported; expected size or ro"
            )
    return Mount("tmpfs", target, read_only=read_only, size=size)
