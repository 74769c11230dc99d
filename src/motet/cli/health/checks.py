"""Facts about a machine judged: pure, one function per check, each finding with its fix in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GIB = 1024**3


class Level(StrEnum):
    """A problem keeps Motet from running; a warning may bite later."""

    FINE = "fine"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one check. `packages` (Debian's names) and `modules` are what would mend it."""

    name: str
    level: Level
    found: str
    fix: str = ""
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    @property
    def mendable(self) -> bool:
        return bool(self.packages or self.modules)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. `programs` and `plugins` map a name to its path, empty when missing; sizes are bytes.

    `features` says for each kernel feature whether it is there, None when that cannot be told without being root.
    `ports` maps (protocol, port) to the process that has it; Motet's own are left out.
    """

    root: bool
    linux: bool = True
    debian: bool = True
    programs: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, bool | None] = field(default_factory=dict)
    controllers: frozenset[str] = frozenset()
    cgroup_version: int = 2
    forwarding: bool = True
    ports: Mapping[tuple[str, int], str] = field(default_factory=dict)
    disk_free: int = 100 * GIB
    disk_total: int = 200 * GIB
    memory: int = 4 * GIB
    clock_synchronised: bool | None = True
    forward_drop: str = ""
    address: str = "192.0.2.1"
    # Where wireguard-go is, and whether this machine's cluster is encrypted; whether the kernel can is a feature.
    wireguard_go: str = ""
    encrypted: bool = False


PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "buildah": "buildah",
    "mount": "mount",
}
# Needed only for `build:`.
OPTIONAL = frozenset({"buildah"})
PLUGINS = ("bridge", "host-local", "loopback", "portmap")
PLUGIN_PACKAGE = "containernetworking-plugins"
# Kernel feature -> module that brings it.
FEATURES = {
    "overlay": "overlay",
    "nftables": "nf_tables",
    "bridge": "bridge",
    "br_netfilter": "br_netfilter",
    "veth": "veth",
}
WIREGUARD, WIREGUARD_PACKAGE = "wireguard", "wireguard-go"
CONTROLLERS = ("cpu", "memory", "pids")
_LEAST_FREE = 2 * GIB
_LEAST_MEMORY = GIB // 2


def judge(facts: Facts) -> list[Finding]:
    """Everything worth saying, in the order in which it is needed."""
    return [finding for check in _CHECKS for finding in check(facts)]


def _platform(facts: Facts) -> list[Finding]:
    if not facts.linux:
        return [Finding("system", Level.PROBLEM, "not Linux", "run Motet on a Linux machine")]
    if facts.root:
        return [Finding("root", Level.FINE, "yes")]
    return [Finding("root", Level.PROBLEM, "no", "containers and networks need root: put sudo before the command")]


def _programs(facts: Facts) -> list[Finding]:
    found = []
    for name, package in PROGRAMS.items():
        path = facts.programs.get(name, "")
        if path:
            found.append(Finding(name, Level.FINE, path))
            continue
        level = Level.WARNING if name in OPTIONAL else Level.PROBLEM
        needed = "not found (needed for `build:` only)" if name in OPTIONAL else "not found"
        found.append(Finding(name, level, needed, _install(facts, package), (package,)))
    return found


def _plugins(facts: Facts) -> list[Finding]:
    missing = [name for name in PLUGINS if not facts.plugins.get(name)]
    if not missing:
        return [Finding("CNI plugins", Level.FINE, next(iter(facts.plugins.values())).rpartition("/")[0])]
    return [
        Finding(
            "CNI plugins",
            Level.PROBLEM,
            f"missing: {', '.join(missing)}",
            _install(facts, PLUGIN_PACKAGE),
            (PLUGIN_PACKAGE,),
        )
    ]


def _install(facts: Facts, package: str) -> str:
    if facts.debian:
        return f"apt-get install {package}, or: motet doctor --fix"
    return f"install what Debian calls {package} with this system's package manager"


def _kernel(facts: Facts) -> list[Finding]:
    missing = [name for name in FEATURES if facts.features.get(name) is False]
    unknown = [name for name in FEATURES if facts.features.get(name) is None]
    if missing:
        modules = tuple(FEATURES[name] for name in missing)
        fix = f"modprobe -a {' '.join(modules)}, or: motet doctor --fix; a kernel without them cannot run Motet"
        return [Finding("kernel", Level.PROBLEM, f"missing: {', '.join(missing)}", fix, modules=modules)]
    if unknown:
        return [Finding("kernel", Level.WARNING, f"cannot be told: {', '.join(unknown)}", "run this as root to know")]
    return [Finding("kernel", Level.FINE, ", ".join(FEATURES))]


def _wireguard(facts: Facts) -> list[Finding]:
    if not facts.encrypted:
        return []
    if facts.features.get(WIREGUARD):
        return [Finding("WireGuard", Level.FINE, "the kernel's")]
    if facts.wireguard_go:
        return [Finding("WireGuard", Level.FINE, facts.wireguard_go)]
    found = "not found, and this cluster is encrypted"
    return [
        Finding("WireGuard", Level.PROBLEM, found, _install(facts, WIREGUARD_PACKAGE), (WIREGUARD_PACKAGE,)),
    ]


def _cgroups(facts: Facts) -> list[Finding]:
    missing = [name for name in CONTROLLERS if name not in facts.controllers]
    said = f"version {facts.cgroup_version}"
    if not missing:
        return [Finding("cgroups", Level.FINE, f"{said}: {', '.join(CONTROLLERS)}")]
    fix = (
        "mount cgroups with these controllers; on a Raspberry Pi add cgroup_enable=memory to the kernel's command line"
    )
    return [Finding("cgroups", Level.PROBLEM, f"{said}, missing: {', '.join(missing)}", fix)]


def _forwarding(facts: Facts) -> list[Finding]:
    findings = []
    if facts.forward_drop:
        findings.append(
            Finding(
                "firewall",
                Level.WARNING,
                f"{facts.forward_drop} drops forwarded packets",
                "let the pods through: iptables -I DOCKER-USER -i motet0 -j ACCEPT; "
                "iptables -I DOCKER-USER -o motet0 -j ACCEPT (or allow motet0 in the firewall you use)",
            )
        )
    said = "on" if facts.forwarding else "off; Motet switches it on"
    return [*findings, Finding("IP forwarding", Level.FINE, said)]


def _ports(facts: Facts) -> list[Finding]:
    if not facts.ports:
        return [Finding("ports", Level.FINE, "free or Motet's own")]
    return [
        Finding(
            f"port {number}",
            Level.PROBLEM,
            f"{protocol.lower()} taken by {owner}",
            f"stop {owner}; Motet needs the port for itself",
        )
        for (protocol, number), owner in sorted(facts.ports.items(), key=lambda item: item[0][1])
    ]


def _space(facts: Facts) -> list[Finding]:
    said = f"{facts.disk_free / GIB:.1f} of {facts.disk_total / GIB:.1f} GiB free"
    fix = "make room; images and volumes live there (--data-dir moves them)"
    if facts.disk_free < _LEAST_FREE // 4:
        level = Level.PROBLEM
    elif facts.disk_free < _LEAST_FREE or facts.disk_free < facts.disk_total / 20:
        level = Level.WARNING
    else:
        level = Level.FINE
    memory = f"{facts.memory / GIB:.1f} GiB"
    little = facts.memory < _LEAST_MEMORY
    return [
        Finding("disk", level, said, fix),
        Finding("memory", Level.WARNING if little else Level.FINE, memory, "at least 0.5 GiB is recommended"),
    ]


def _address(facts: Facts) -> list[Finding]:
    if facts.address:
        return [Finding("address", Level.FINE, facts.address)]
    return [Finding("address", Level.PROBLEM, "none", "connect this machine to a network: its node needs an address")]


def _time(facts: Facts) -> list[Finding]:
    if facts.clock_synchronised is False:
        fix = "certificates need the right time: timedatectl set-ntp true, or install chrony"
        return [Finding("clock", Level.WARNING, "not synchronised", fix)]
    return [Finding("clock", Level.FINE, "synchronised" if facts.clock_synchronised else "nothing known against it")]


_CHECKS: tuple[Callable[[Facts], list[Finding]], ...] = (
    _platform,
    _programs,
    _plugins,
    _kernel,
    _wireguard,
    _cgroups,
    _forwarding,
    _ports,
    _space,
    _address,
    _time,
)
