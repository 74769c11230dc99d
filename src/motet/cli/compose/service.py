"""One service of a Compose file, put together from what each group of keys says."""

from __future__ import annotations

from collections.abc import Iterator

from motet.base import names
from motet.cli.compose import build, deploy, hosts, mounts, networks, ports, privileges, process, units, wishes
from motet.cli.compose.model import Dns, FileReference, Service
from motet.cli.compose.source import Fields, Source, Value, text
from motet.dialects.docker import logoptions
from motet.kinds import podmarks

_CONDITIONS = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
_PULLS = {"always": "always", "never": "never", "missing": "", "if_not_present": "", "build": "build"}
_RUNC = ("runc", "io.containerd.runc.v2")


def read(source: Source, name: str, at: Value) -> Service:
    """The service; what is wrong with it is noted in `source`."""
    if problem := names.label_1035_error(name.replace("_", "-").lower()):
        source.problem(at, f"the service name {name!r}: {problem}")
    fields = Fields(source, at)
    made = build.read(fields)
    image = fields.text("image")
    if not image and made is None:
        source.problem(at, "expected `image` or `build`")
    deployed = deploy.read(fields)
    labels = tuple(process.labels(fields))
    wished = wishes.read(fields, deployed, dict(labels))
    published = fields.get("ports")
    conditions = tuple(_depends(fields))
    _idle(fields)
    service = Service(
        name=name,
        line=at.line,
        image=image,
        build=made,
        entrypoint=process.words(fields, "entrypoint"),
        command=process.words(fields, "command"),
        environment=tuple(process.environment(fields)),
        ports=tuple(ports.read(source, published)) if published is not None else (),
        expose=tuple(_expose(fields)),
        mounts=mounts.read(fields),
        mounts_of=tuple(mounts.of_others(fields)),
        devices=(*mounts.devices(fields), *wished.devices),
        networks=networks.joined(source, fields),
        links=tuple(_links(fields)),
        secrets=tuple(_files(fields, "secrets", "/run/secrets/")),
        configs=tuple(_files(fields, "configs", "/")),
        health=process.health(fields),
        depends_on=tuple((other, condition) for other, condition, _ in conditions),
        follows=tuple(other for other, _, follows in conditions if follows),
        mode=deployed.mode,
        replicas=deployed.replicas,
        sized=deployed.sized,
        wishes=wished.parts,
        limits=deployed.limits,
        reservations=deployed.reservations,
        processes=deployed.processes,
        oom_score=fields.number("oom_score_adj", least=-997) if fields.get("oom_score_adj") else None,
        virtual=deployed.virtual,
        restart=deployed.restart,
        update=deployed.update,
        rollback=deployed.rollback,
        placement=deployed.placement,
        annotations=tuple(_annotations(fields, labels, wished.labels)),
        labels=wished.labels,
        privileges=privileges.read(fields),
        working_dir=fields.text("working_dir"),
        hostname=_hostname(fields),
        stop_grace=fields.measured("stop_grace_period", units.seconds),
        stop_signal=fields.text("stop_signal").upper(),
        post_start=process.hooks(fields, "post_start"),
        pre_stop=process.hooks(fields, "pre_stop"),
        extra_hosts=tuple(hosts.read(fields)),
        dns=_dns(fields),
        of_node=privileges.of_node(fields),
        init=fields.truth("init"),
        stdin=fields.truth("stdin_open"),
        tty=fields.truth("tty"),
        logging=tuple(_logging(fields)),
        pull=_PULLS[fields.choice("pull_policy", tuple(_PULLS), "missing")],
        runtime=_runtime(fields),
    )
    if "container_name" in fields.items and service.replicas > 1:
        source.problem(fields.items["container_name"], f"one name is not for {service.replicas} containers")
    if service.init and "pid" in service.of_node:
        source.problem(fields.items["init"], "with `pid: host` the node's own first process reaps all others")
    fields.finish()
    return service


def _idle(fields: Fields) -> None:
    """Keys that other commands than `up` read, or that say how `up` would show what it does not show."""
    fields.truth("attach")
    if (develop := fields.fields("develop")) is not None:
        develop.get("watch")
        develop.finish()
    # `read` has looked at it: services of profiles that are asleep are not read.
    fields.get("profiles")


def _logging(fields: Fields) -> Iterator[tuple[str, str]]:
    logging = fields.fields("logging")
    if logging is None:
        return
    logging.choice("driver", logoptions.DRIVERS, logoptions.DRIVERS[0])
    try:
        yield from logoptions.marks(dict(logging.pairs("options"))).items()
    except ValueError as error:
        logging.source.problem(logging.items["options"], str(error))
    logging.finish()


def _expose(fields: Fields) -> Iterator[tuple[int, str]]:
    for item in fields.listed("expose"):
        written, _, protocol = text(fields.source, item).partition("/")
        first, _, last = written.partition("-")
        numbers = [int(each) for each in (first, last or first) if each.isascii() and each.isdigit()]
        if protocol not in ("", "tcp", "udp"):
            fields.source.problem(item, f"the protocol {protocol!r} is not supported; expected tcp or udp")
        elif len(numbers) == 2 and 1 <= numbers[0] <= numbers[1] <= 65535:
            yield from ((number, (protocol or "tcp").upper()) for number in range(numbers[0], numbers[1] + 1))
        else:
            fields.source.problem(item, f"expected a port from 1 to 65535, found {written!r}")


def _links(fields: Fields) -> Iterator[tuple[str, str]]:
    """(service, alias), the alias being the service's own name where none is given."""
    for item in fields.listed("links"):
        name, _, alias = text(fields.source, item).partition(":")
        yield name, alias or name


def _files(fields: Fields, key: str, folder: str) -> Iterator[FileReference]:
    for item in fields.listed(key):
        if not item.is_map:
            name = text(fields.source, item)
            yield FileReference(name, folder + name)
            continue
        long = Fields(fields.source, item)
        name = long.text("source")
        target = long.text("target") or name
        mode = long.measured("mode", units.octal)
        owner = (long.number("uid"), long.number("gid")) if long.get("uid") or long.get("gid") else None
        long.finish()
        yield FileReference(name, target if target.startswith("/") else folder + target, mode, owner)


def _depends(fields: Fields) -> Iterator[tuple[str, str, bool]]:
    """(service, condition, whether this one is replaced with it). `read` has left out what need not be there."""
    at = fields.get("depends_on")
    if at is None:
        return
    if at.is_list:
        for name in fields.texts("depends_on"):
            yield name, "started", False
        return
    for name, value in fields.each("depends_on"):
        if value.content is None:
            yield name, "started", False
            continue
        item = Fields(fields.source, value)
        condition = item.choice("condition", tuple(_CONDITIONS), "service_started")
        item.truth("required", True)
        follows = item.truth("restart")
        item.finish()
        yield name, _CONDITIONS[condition], follows


def _hostname(fields: Fields) -> str:
    name = fields.text("hostname")
    if name and (problem := names.label_error(name)):
        fields.source.problem(fields.items["hostname"], f"the host name {name!r}: {problem}")
    return name


def _annotations(
    fields: Fields, labels: tuple[tuple[str, str], ...], more: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """Annotations and labels of all kinds become annotations, whose names have a form."""
    given = (("annotations", fields.pairs("annotations")), ("labels", labels), ("deploy", more))
    for key, pairs in given:
        for name, value in pairs:
            if problem := names.qualified_name_error(name.lower()):
                at = fields.items.get(key) or fields.items.get("label_file") or fields.at
                fields.source.problem(at, f"the label {name!r}: {problem}")
            else:
                yield name, value


def _dns(fields: Fields) -> Dns:
    servers = fields.texts("dns")
    try:
        podmarks.name_servers({podmarks.NAME_SERVERS: podmarks.name_servers_text(servers)})
    except ValueError as error:
        fields.source.problem(fields.items["dns"], str(error))
        servers = ()
    return Dns(servers, fields.texts("dns_search"), fields.texts("dns_opt"))


def _runtime(fields: Fields) -> str:
    """A RuntimeClass of the cluster; the usual runtime has none."""
    name = fields.text("runtime")
    if name in _RUNC:
        return ""
    if name and (problem := names.subdomain_error(name)):
        fields.source.problem(fields.items["runtime"], f"the runtime {name!r}: {problem}")
    return name
