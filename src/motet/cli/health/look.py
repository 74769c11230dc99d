"""The facts of this machine, for `checks`. Reads only; nothing is changed, and nothing needs root to be looked at."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from motet.base.errors import MotetError
from motet.cli.apply.ports import Port, everywhere, taken_here
from motet.cli.health import checks
from motet.cli.health.checks import FEATURES, Facts, Finding
from motet.machine import lifecycle
from motet.machine.layout import Machine, Settings, primary_address
from motet.runtime.settings import PATH

_PLUGIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni", "/usr/local/lib/cni")
_QUICK_SECONDS = 10
_WIREGUARD = (checks.WIREGUARD, checks.WIREGUARD)


def look(machine: Machine) -> list[Finding]:
    """Every check of this machine."""
    return checks.judge(facts(machine))


def facts(machine: Machine) -> Facts:
    """What there is to know, gathered once."""
    disk = shutil.disk_usage(_existing(machine.data_dir))
    return Facts(
        root=os.geteuid() == 0,
        linux=sys.platform == "linux",
        debian=shutil.which("apt-get") is not None,
        programs={name: shutil.which(name, path=_path()) or "" for name in checks.PROGRAMS},
        plugins=_plugins(),
        features={name: _feature(name, module) for name, module in (*FEATURES.items(), _WIREGUARD)},
        controllers=frozenset(_controllers()),
        cgroup_version=2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        forwarding=_text("/proc/sys/net/ipv4/ip_forward") == "1",
        ports=_ports(machine),
        disk_free=disk.free,
        disk_total=disk.total,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        clock_synchronised=_clock(),
        forward_drop=_forward_drop(),
        address=_address(),
        wireguard_go=shutil.which(checks.WIREGUARD_PACKAGE, path=_path()) or "",
        encrypted=_encrypted(machine),
    )


def _encrypted(machine: Machine) -> bool:
    with contextlib.suppress(MotetError):
        settings = machine.settings()
        return settings is not None and settings.encrypted
    return False


def _path() -> str:
    """The searched directories: a user's PATH often lacks the sbin ones."""
    return os.pathsep.join((os.environ.get("PATH", ""), PATH))


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _plugins() -> dict[str, str]:
    for directory in _PLUGIN_DIRS:
        if all(Path(directory, name).exists() for name in checks.PLUGINS):
            return {name: f"{directory}/{name}" for name in checks.PLUGINS}
    return {
        name: next((f"{directory}/{name}" for directory in _PLUGIN_DIRS if Path(directory, name).exists()), "")
        for name in checks.PLUGINS
    }


def _feature(name: str, module: str) -> bool | None:
    """Whether the kernel has it, built in or loadable."""
    signs = {
        "overlay": lambda: "overlay" in _text("/proc/filesystems").split(),
        "br_netfilter": lambda: Path("/proc/sys/net/bridge").is_dir(),
    }
    if name in signs and signs[name]():
        return True
    if Path("/sys/module", module).exists():
        return True
    release = Path("/lib/modules", os.uname().release)
    for listing in ("modules.builtin", "modules.dep"):
        if f"/{module}.ko" in _text(release / listing):
            return True
    return _tried(name)


def _tried(name: str) -> bool | None:
    """Kernels without a list of what is built in are asked by using it, in a network namespace of its own."""
    trials = {
        "nftables": ("nft", "add", "table", "inet", "motet-doctor"),
        "bridge": ("ip", "link", "add", "motet-doctor", "type", "bridge"),
        "veth": ("ip", "link", "add", "motet-doctor", "type", "veth"),
        checks.WIREGUARD: ("ip", "link", "add", "motet-doctor", "type", "wireguard"),
        "br_netfilter": ("test", "-d", "/proc/sys/net/bridge"),
    }
    if name not in trials:
        return False
    program, *arguments = trials[name]
    found = shutil.which(program, path=_path())
    unshare = shutil.which("unshare", path=_path())
    if os.geteuid() != 0 or found is None or unshare is None:
        return None
    return _run(unshare, "--net", found, *arguments) is not None


def _controllers() -> list[str]:
    unified = _text("/sys/fs/cgroup/cgroup.controllers")
    if unified:
        return unified.split()
    mounted = [line.split() for line in _text("/proc/mounts").splitlines() if " cgroup " in line]
    return [option for fields in mounted for option in fields[3].split(",")]


def _ports(machine: Machine) -> dict[tuple[str, int], str]:
    if lifecycle.running(machine):
        return {}
    try:
        settings = machine.settings()
    except MotetError:
        settings = None
    api, agent = (settings.port, settings.agent_port) if settings else (_default("port"), _default("agent_port"))
    taken = taken_here((Port("TCP", api), Port("TCP", agent)))
    # The node's name server has an address of its own, so only one that takes all addresses is in its way.
    names = {port: owner for port in (Port("UDP", 53), Port("TCP", 53)) if (owner := everywhere(port))}
    return {(port.protocol, port.number): owner for port, owner in {**taken, **names}.items()}


def _default(name: str) -> int:
    return int(getattr(Settings(node_name="", address=""), name))


def _clock() -> bool | None:
    """As systemd knows it; None when nobody does."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    answer = _run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    return {"yes": True, "no": False}.get((answer or "").strip())


def _forward_drop() -> str:
    """Who drops forwarded packets by default: a base chain of the filter table, as docker's and ufw's."""
    answer = _run("nft", "-j", "list", "chains")
    if not answer:
        return ""
    with contextlib.suppress(ValueError):
        for item in json.loads(answer).get("nftables", ()):
            chain = item.get("chain") or {}
            if chain.get("hook") == "forward" and chain.get("policy") == "drop":
                return f"{chain.get('family')} {chain.get('table')} {chain.get('name')}"
    return ""


def _address() -> str:
    try:
        return primary_address()
    except MotetError:
        return ""


def _run(program: str, *arguments: str) -> str | None:
    """The output of a command that may well be missing or fail; None then."""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=_QUICK_SECONDS,
            check=True,
            env={**os.environ, "PATH": _path()},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
