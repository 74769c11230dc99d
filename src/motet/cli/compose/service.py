"""One service of a Compose file, key by key."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from motet.base import names
from motet.cli.compose import networks, ports, units
from motet.cli.compose.interpolate import read_env_file
from motet.cli.compose.model import Build, FileReference, HealthCheck, Mount, Resources, Service
from motet.cli.compose.source import Fields, Source, Value, text

_CONDITIONS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
_RESTARTS = {"no": "none", "always": "any", "unless-stopped": "any", "on-failure": "on-failure"}


class ServiceReader:
    """Reads one service after another; holds what they share."""

    def __init__(self, source: Source, folder: Path, variables: Mapping[str, str]) -> None:
        self._source = source
        self._folder = folder
        self._variables = variables

    def service(self, name: str, at: Value) -> Service:
        if problem := names.label_1035_error(name.replace("_", "-").lower()):
            self._source.problem(at, f"the service name {name!r}: {problem}")
        fields = Fields(self._source, at)
        build = self._build(fields)
        image = fields.text("image")
        if not image and build is None:
            self._source.problem(at, "expected `image` or `build`")
        deploy = fields.fields("deploy") or Fields(self._source, Value(f"{at.path}.deploy", at.line, {}))
        replicas, everywhere = self._mode(fields, deploy)
        # A name leads to every task, as this says; one address for all of them would have to know their ports.
        deploy.choice("endpoint_mode", ("dnsrr",), "dnsrr")
        limits, reservations = self._resources(deploy)
        published = fields.get("ports")
        service = Service(
            name=name,
            line=at.line,
            image=image,
            build=build,
            entrypoint=self._words(fields, "entrypoint"),
            command=self._words(fields, "command"),
            environment=tuple(self._environment(fields)),
            ports=tuple(ports.read(self._source, published)) if published is not None else (),
            expose=tuple(self._expose(fields)),
            mounts=(*self._mounts(fields), *self._tmpfs(fields)),
            networks=networks.joined(self._source, fields),
            secrets=tuple(self._files(fields, "secrets", "/run/secrets/")),
            configs=tuple(self._files(fields, "configs", "/")),
            health=self._health(fields),
            depends_on=tuple(self._depends(fields)),
            replicas=replicas,
            everywhere=everywhere,
            limits=limits,
            reservations=reservations,
            restart=self._restart(fields, deploy),
            labels=(*self._labels(fields), *self._labels(deploy)),
            user=self._user(fields),
            working_dir=fields.text("working_dir"),
            hostname=self._hostname(fields),
            read_only=fields.truth("read_only"),
            privileged=fields.truth("privileged"),
            cap_add=self._capabilities(fields, "cap_add"),
            cap_drop=self._capabilities(fields, "cap_drop"),
            stop_grace=self._seconds(fields, "stop_grace_period"),
            extra_hosts=tuple(self._extra_hosts(fields)),
        )
        deploy.finish()
        fields.finish()
        return service

    def _build(self, fields: Fields) -> Build | None:
        at = fields.get("build")
        if at is None:
            return None
        if not at.is_map:
            return Build(self._context(at, text(self._source, at)))
        build = Fields(self._source, at)
        context = self._context(build.get("context") or at, build.text("context", "."))
        made = Build(
            context,
            build.text("dockerfile"),
            build.text("target"),
            tuple(self._pairs(build, "args")),
        )
        build.finish()
        return made

    def _context(self, at: Value, path: str) -> Path:
        context = (self._folder / Path(path).expanduser()).resolve()
        if not context.is_dir():
            self._source.problem(at, f"the build context {context} is not a directory")
        return context

    def _words(self, fields: Fields, key: str) -> tuple[str, ...] | None:
        """A command as a list, or as text that is split as a shell would."""
        at = fields.get(key)
        if at is None:
            return None
        if at.is_list:
            return fields.texts(key)
        try:
            return tuple(shlex.split(text(self._source, at)))
        except ValueError as error:
            self._source.problem(at, f"cannot be split into words: {error}")
            return ()

    def _environment(self, fields: Fields) -> Iterator[tuple[str, str]]:
        collected: dict[str, str] = {}
        at = fields.get("env_file")
        for item in (at.content if isinstance(at.content, list) else [at]) if at is not None else ():
            collected.update(self._env_file(item))
        for name, value in self._pairs(fields, "environment", self._variables):
            collected[name] = value
        yield from collected.items()

    def _env_file(self, at: Value) -> dict[str, str]:
        needed, where = True, at
        if at.is_map:
            item = Fields(self._source, at)
            needed, where = item.truth("required", True), item.get("path") or at
            item.finish()
        path = self._folder / Path(text(self._source, where)).expanduser()
        if not path.exists() and not needed:
            return {}
        try:
            return read_env_file(path)
        except OSError as error:
            self._source.problem(where, f"{path} cannot be read: {error.strerror}")
        except ValueError as error:
            self._source.problem(where, str(error))
        return {}

    def _pairs(self, fields: Fields, key: str, inherited: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
        """A map, or a list of NAME=VALUE. A name alone takes its value from `inherited`, if it is there."""
        at = fields.get(key)
        if at is None:
            return
        if isinstance(at.content, dict):
            pairs = [
                (name, None if value.content is None else text(self._source, value))
                for name, value in at.content.items()
            ]
        elif isinstance(at.content, list):
            split = [text(self._source, item).partition("=") for item in at.content]
            pairs = [(name, value if found else None) for name, found, value in split]
        else:
            self._source.problem(at, f"expected a map or a list, found {at.described()}")
            return
        for name, value in pairs:
            if value is not None:
                yield name, value
            elif inherited is None:
                yield name, ""
            elif name in inherited:
                yield name, inherited[name]

    def _expose(self, fields: Fields) -> Iterator[tuple[int, str]]:
        at = fields.get("expose")
        if at is not None and not at.is_list:
            self._source.problem(at, f"expected a list, found {at.described()}")
        for item in at.content if at is not None and isinstance(at.content, list) else ():
            number, _, protocol = text(self._source, item).partition("/")
            if protocol not in ("", "tcp", "udp"):
                self._source.problem(item, f"the protocol {protocol!r} is not supported; expected tcp or udp")
            elif number.isascii() and number.isdigit() and 1 <= int(number) <= 65535:
                yield int(number), (protocol or "tcp").upper()
            else:
                self._source.problem(item, f"expected a port from 1 to 65535, found {number!r}")

    def _mounts(self, fields: Fields) -> Iterator[Mount]:
        at = fields.get("volumes")
        if at is None:
            return
        if not isinstance(at.content, list):
            self._source.problem(at, f"expected a list, found {at.described()}")
            return
        targets: set[str] = set()
        for item in at.content:
            mount = self._long_mount(Fields(self._source, item)) if item.is_map else self._short_mount(item)
            if mount is None:
                continue
            if mount.target in targets:
                self._source.problem(item, f"two volumes are mounted at {mount.target}")
            targets.add(mount.target)
            if not mount.target.startswith("/"):
                self._source.problem(item, f"the path in the container must be absolute, found {mount.target!r}")
            yield mount

    def _short_mount(self, at: Value) -> Mount | None:
        parts = text(self._source, at).split(":")
        if len(parts) == 1:
            return Mount("volume", parts[0])
        options = parts[2].split(",") if len(parts) == 3 else []
        if len(parts) > 3 or not set(options) <= {"ro", "rw", "z", "Z"}:
            self._source.problem(at, "expected [SOURCE:]TARGET[:ro|rw]")
            return None
        if parts[0].startswith((".", "/", "~")):
            host = (self._folder / Path(parts[0]).expanduser()).resolve()
            return Mount("bind", parts[1], str(host), "ro" in options)
        return Mount("volume", parts[1], parts[0], "ro" in options)

    def _long_mount(self, fields: Fields) -> Mount:
        kind = fields.choice("type", ("volume", "bind", "tmpfs"), "volume")
        where = fields.text("source")
        target, read_only = fields.text("target"), fields.truth("read_only")
        size, subpath = 0, ""
        if (tmpfs := fields.fields("tmpfs")) is not None:
            size = self._size(tmpfs, "size")
            tmpfs.finish()
        if (volume := fields.fields("volume")) is not None:
            subpath = volume.text("subpath")
            volume.finish()
        if kind == "bind":
            where = str((self._folder / Path(where).expanduser()).resolve())
            if (bind := fields.fields("bind")) is not None:
                create = bind.truth("create_host_path", True)
                bind.finish()
                if not create and not Path(where).exists():
                    self._source.problem(fields.at, f"the host path {where} does not exist")
        fields.finish()
        return Mount(kind, target, where, read_only, size, subpath)

    def _tmpfs(self, fields: Fields) -> Iterator[Mount]:
        for item in fields.texts("tmpfs"):
            target, _, options = item.partition(":")
            if not target.startswith("/"):
                self._source.problem(
                    fields.items["tmpfs"], f"the path in the container must be absolute, found {target!r}"
                )
            size = next((o.removeprefix("size=") for o in options.split(",") if o.startswith("size=")), "0")
            try:
                yield Mount("tmpfs", target, size=units.size(size))
            except ValueError as error:
                self._source.problem(fields.items["tmpfs"], str(error))

    def _files(self, fields: Fields, key: str, folder: str) -> Iterator[FileReference]:
        at = fields.get(key)
        if at is None:
            return
        if not isinstance(at.content, list):
            self._source.problem(at, f"expected a list, found {at.described()}")
            return
        for item in at.content:
            if not item.is_map:
                name = text(self._source, item)
                yield FileReference(name, folder + name)
                continue
            long = Fields(self._source, item)
            name = long.text("source")
            target = long.text("target", name)
            mode = long.text("mode")
            long.finish()
            try:
                parsed = int(mode, 8) if mode else None
            except ValueError:
                self._source.problem(item, f"expected an octal `mode` such as 0440, found {mode!r}")
                continue
            yield FileReference(name, target if target.startswith("/") else folder + target, parsed)

    def _health(self, fields: Fields) -> HealthCheck | None:
        check = fields.fields("healthcheck")
        if check is None:
            return None
        at = check.get("test")
        command: tuple[str, ...] = ()
        if at is not None and not at.is_list:
            command = ("/bin/sh", "-c", text(self._source, at))
        elif at is not None:
            first, *rest = check.texts("test") or ("NONE",)
            if first == "CMD" and rest:
                command = tuple(rest)
            elif first == "CMD-SHELL" and rest:
                command = ("/bin/sh", "-c", " ".join(rest))
            elif first != "NONE":
                self._source.problem(at, f"expected CMD or CMD-SHELL and a command, or NONE, found {first!r}")
        if check.truth("disable"):
            command = ()
        made = HealthCheck(
            command,
            interval=self._seconds(check, "interval") or 30,
            timeout=self._seconds(check, "timeout") or 30,
            retries=check.number("retries", 3, least=1),
            start_period=self._seconds(check, "start_period") or 0,
            start_interval=self._seconds(check, "start_interval") or 0,
        )
        check.finish()
        return made

    def _depends(self, fields: Fields) -> Iterator[tuple[str, str]]:
        at = fields.get("depends_on")
        if at is None:
            return
        if at.is_list:
            for name in fields.texts("depends_on"):
                yield name, "started"
            return
        for name, value in fields.each("depends_on"):
            item = Fields(self._source, value)
            condition = item.choice("condition", tuple(_CONDITIONS), "service_started")
            item.truth("required", True)
            if item.truth("restart"):
                self._source.problem(item.items["restart"], "restarting with a dependency is not supported yet")
            item.finish()
            yield name, _CONDITIONS[condition]

    def _mode(self, fields: Fields, deploy: Fields) -> tuple[int, bool]:
        mode = deploy.choice("mode", ("replicated", "global"), "replicated")
        scale = fields.number("scale", 1)
        return deploy.number("replicas", scale), mode == "global"

    def _resources(self, deploy: Fields) -> tuple[Resources, Resources]:
        fields = deploy.fields("resources")
        if fields is None:
            return Resources(), Resources()
        both = self._amounts(fields.fields("limits")), self._amounts(fields.fields("reservations"))
        fields.finish()
        return both

    def _amounts(self, fields: Fields | None) -> Resources:
        if fields is None:
            return Resources()
        processors = fields.get("cpus")
        cpu = 0
        if processors is not None:
            try:
                cpu = units.millicores(text(self._source, processors))
            except ValueError as error:
                self._source.problem(processors, str(error))
        memory = self._size(fields, "memory")
        fields.finish()
        return Resources(cpu, memory)

    def _restart(self, fields: Fields, deploy: Fields) -> str:
        policy = deploy.fields("restart_policy")
        plain = fields.text("restart")
        if policy is not None:
            condition = policy.choice("condition", ("any", "on-failure", "none"), "any")
            policy.finish()
            return condition
        if plain and plain not in _RESTARTS:
            self._source.problem(
                fields.items["restart"], f"{plain!r} is not supported; expected one of {', '.join(_RESTARTS)}"
            )
        return _RESTARTS.get(plain, "")

    def _extra_hosts(self, fields: Fields) -> Iterator[tuple[str, str]]:
        at = fields.get("extra_hosts")
        if at is None:
            return
        if at.is_map:
            pairs = list(self._pairs(fields, "extra_hosts"))
        else:
            split = [re.split("[=:]", item, maxsplit=1) for item in fields.texts("extra_hosts")]
            pairs = [(parts[0], parts[1] if len(parts) == 2 else "") for parts in split]
        for name, address in pairs:
            if _is_address(address):
                yield name, address
            else:
                self._source.problem(at, f"expected NAME:ADDRESS with an IP address, found {name}:{address}")

    def _user(self, fields: Fields) -> str:
        """UID or UID:GID. A name is in the image's own /etc/passwd, which nobody has read yet."""
        user = fields.text("user")
        if user and not re.fullmatch(r"\d+(:\d+)?", user):
            self._source.problem(fields.items["user"], f"expected UID or UID:GID in numbers, found {user!r}")
            return ""
        return user

    def _hostname(self, fields: Fields) -> str:
        name = fields.text("hostname")
        if name and (problem := names.label_error(name)):
            self._source.problem(fields.items["hostname"], f"the host name {name!r}: {problem}")
        return name

    def _labels(self, fields: Fields) -> Iterator[tuple[str, str]]:
        """Labels become annotations, whose names have a form."""
        for name, value in self._pairs(fields, "labels"):
            if problem := names.qualified_name_error(name.lower()):
                self._source.problem(fields.items["labels"], f"the label {name!r}: {problem}")
            else:
                yield name, value

    @staticmethod
    def _capabilities(fields: Fields, key: str) -> tuple[str, ...]:
        return tuple(name.upper().removeprefix("CAP_") for name in fields.texts(key))

    def _seconds(self, fields: Fields, key: str) -> int | None:
        at = fields.get(key)
        if at is None:
            return None
        try:
            return units.seconds(text(self._source, at))
        except ValueError as error:
            self._source.problem(at, str(error))
            return None

    def _size(self, fields: Fields, key: str) -> int:
        at = fields.get(key)
        if at is None:
            return 0
        try:
            return units.size(text(self._source, at))
        except ValueError as error:
            self._source.problem(at, str(error))
            return 0


def _is_address(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
