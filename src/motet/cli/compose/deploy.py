"""`deploy` of a service, and the older keys beside it that say the same: how many, where, with how much, replaced how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from motet.base import names
from motet.cli.compose import gpus, units
from motet.cli.compose.model import (
    GLOBAL,
    GLOBAL_JOB,
    REPLICATED,
    REPLICATED_JOB,
    Placement,
    Resources,
    Restart,
    Update,
)
from motet.cli.compose.source import Fields, Value, text
from motet.dialects.docker import generics
from motet.dialects.docker.constraints import about_one
from motet.kinds import constraints

_RESTARTS = {"no": "none", "always": "any", "unless-stopped": "any", "on-failure": "on-failure"}
_PERIOD = 100_000


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is read here; the members are those of a Service."""

    mode: str
    replicas: int
    limits: Resources
    reservations: Resources
    processes: int
    restart: Restart
    update: Update | None
    rollback: Update | None
    placement: Placement
    labels: tuple[tuple[str, str], ...]
    virtual: bool
    # Whether the file says how many.
    sized: bool

    @property
    def is_job(self) -> bool:
        return self.mode in (REPLICATED_JOB, GLOBAL_JOB)


def read(service: Fields) -> Deployment:
    """All of it."""
    at = service.get("deploy")
    fields = Fields(
        service.source, at or Value(f"{service.at.path}.deploy", service.at.line, {}, origin=service.at.origin)
    )
    mode = fields.choice("mode", (REPLICATED, GLOBAL, REPLICATED_JOB, GLOBAL_JOB), REPLICATED)
    job = mode in (REPLICATED_JOB, GLOBAL_JOB)
    limits, reservations, processes = _resources(service, fields)
    found = Deployment(
        mode=mode,
        replicas=fields.number("replicas", service.number("scale", 1)),
        limits=limits,
        reservations=reservations,
        processes=processes,
        restart=_restart(service, fields, job),
        update=_update(fields, "update_config", ("continue", "pause", "rollback"), job),
        rollback=_update(fields, "rollback_config", ("continue", "pause"), job),
        placement=_placement(service, fields),
        labels=tuple(fields.pairs("labels")),
        virtual=fields.choice("endpoint_mode", ("dnsrr", "vip"), "dnsrr") == "vip",
        sized=fields.has("replicas") or service.has("scale"),
    )
    fields.finish()
    return found


def _resources(service: Fields, deploy: Fields) -> tuple[Resources, Resources, int]:
    """(limits, reservations, most processes). What `deploy` says counts before the older keys."""
    limits = Resources(_processors(service), service.measured("mem_limit", units.size) or 0)
    reservations = Resources(0, service.measured("mem_reservation", units.size) or 0)
    processes = _processes(service, "pids_limit")
    fields = deploy.fields("resources")
    if fields is None:
        return limits, replace(reservations, counted=_counted(service, None)), processes
    if (limited := fields.fields("limits")) is not None:
        limits = _over(limits, _amounts(limited))
        processes = _processes(limited, "pids") or processes
        limited.finish()
    reserved = fields.fields("reservations")
    if reserved is not None:
        reservations = _over(reservations, _amounts(reserved))
    reservations = replace(reservations, counted=_counted(service, reserved))
    if reserved is not None:
        reserved.finish()
    fields.finish()
    return limits, reservations, processes


def _over(base: Resources, more: Resources) -> Resources:
    return Resources(more.millicores or base.millicores, more.memory or base.memory)


def _amounts(fields: Fields) -> Resources:
    return Resources(fields.measured("cpus", units.millicores) or 0, fields.measured("memory", units.size) or 0)


def _processors(service: Fields) -> int:
    """`cpus`, or how much of every period `cpu_quota` gives."""
    period = service.number("cpu_period", _PERIOD, least=1)
    quota = service.number("cpu_quota")
    return service.measured("cpus", units.millicores) or round(quota * 1000 / period)


def _processes(fields: Fields, key: str) -> int:
    """-1 and 0 are no limit."""
    return max(0, fields.number(key, least=-1))


def _counted(service: Fields, reservations: Fields | None) -> tuple[tuple[str, int], ...]:
    """All that nodes have so many of."""
    found: dict[str, int] = {}
    asked = [] if reservations is None else list(_generic(reservations))
    asked += [(at, gpus.KIND, count) for at, count in gpus.read(service, reservations)]
    for at, kind, count in asked:
        if kind in found:
            service.source.problem(at, f"{kind!r} is asked for twice")
        found[kind] = count
    return tuple(found.items())


def _generic(reservations: Fields) -> Iterator[tuple[Value, str, int]]:
    for item in reservations.listed("generic_resources"):
        fields = Fields(reservations.source, item)
        spec = fields.fields("discrete_resource_spec")
        if spec is None:
            fields.source.problem(item, "expected `discrete_resource_spec`")
            continue
        kind, count = spec.text("kind"), spec.number("value", least=1)
        if problem := names.qualified_name_error(generics.resource(kind)):
            spec.source.problem(item, f"the resource {kind!r}: {problem}")
        else:
            yield item, kind, count
        spec.finish()
        fields.finish()


def _restart(service: Fields, deploy: Fields, job: bool) -> Restart:
    at, plain = service.get("restart"), service.text("restart")
    if (policy := deploy.fields("restart_policy")) is not None:
        choices = ("on-failure", "none") if job else ("any", "on-failure", "none")
        found = Restart(
            policy.choice("condition", choices, choices[0]),
            policy.measured("delay", units.duration),
            policy.number("max_attempts"),
            policy.measured("window", units.duration) or 0,
        )
        policy.finish()
        return found
    word, colon, attempts = plain.partition(":")
    if at is None or (word in _RESTARTS and not colon):
        found = Restart(_RESTARTS.get(word, ""))
    elif word == "on-failure" and attempts.isascii() and attempts.isdigit():
        found = Restart(_RESTARTS[word], attempts=int(attempts))
    else:
        expected = ", ".join((*_RESTARTS, "on-failure:N"))
        service.source.problem(at, f"{plain!r} is not supported; expected one of {expected}")
        return Restart()
    if job and found.condition == "any":
        assert at is not None
        service.source.problem(at, "a job that has ended well is not run again; expected on-failure or no")
    return found


def _update(deploy: Fields, key: str, actions: tuple[str, ...], job: bool) -> Update | None:
    fields = deploy.fields(key)
    if fields is None:
        return None
    if job:
        deploy.source.problem(fields.at, "a job is not updated bit by bit; its next run begins with the new version")
    found = Update(
        fields.number("parallelism") if fields.get("parallelism") else None,
        fields.measured("delay", units.duration),
        fields.choice("failure_action", actions, "") or None,
        fields.measured("monitor", units.duration),
        fields.measured("max_failure_ratio", units.ratio),
        fields.choice("order", ("stop-first", "start-first"), "") or None,
    )
    fields.finish()
    return found


def _placement(service: Fields, deploy: Fields) -> Placement:
    platform = service.measured("platform", _platform)
    fields = deploy.fields("placement")
    if fields is None:
        return Placement(platform=platform)
    found = Placement(
        tuple(_checked(fields, "constraints", _constraint)),
        tuple(_spreads(fields)),
        fields.number("max_replicas_per_node"),
        platform,
    )
    fields.finish()
    return found


def _checked(fields: Fields, key: str, parse: Callable[[str], object]) -> Iterator[str]:
    for item in fields.listed(key):
        try:
            parse(text(fields.source, item))
        except ValueError as error:
            fields.source.problem(item, str(error))
        else:
            yield text(fields.source, item)


def _spreads(placement: Fields) -> Iterator[str]:
    for item in placement.listed("preferences"):
        fields = Fields(placement.source, item)
        spread = fields.measured("spread", _spread)
        if spread:
            yield spread
        elif "spread" not in fields.items:
            fields.source.problem(item, "expected `spread`, a label of nodes as node.labels.KEY")
        fields.finish()


def _constraint(written: str) -> None:
    """Nodes by identifier or address are looked up when the project is brought up (`cli/apply/externals`)."""
    if not about_one(written):
        constraints.parse(written)


def _spread(label: str) -> str:
    constraints.spread_label(label)
    return label


def _platform(name: str) -> tuple[str, str]:
    """(operating system, processor) of OS[/ARCH[/VARIANT]]."""
    system, _, rest = name.partition("/")
    if system != "linux":
        raise ValueError(f"containers are Linux's here, found {name!r}")
    return system, rest.partition("/")[0]
