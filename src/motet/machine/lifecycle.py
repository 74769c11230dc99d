"""Start this machine's Motet and wait until it works; stop it; take it away without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from motet.base.errors import VERSION_SKEW, ApiError, MotetError
from motet.client.remote import RemoteClient
from motet.identity import tls
from motet.identity.node_files import NodeFiles
from motet.kinds import node
from motet.machine.boot import Systemd
from motet.machine.layout import Machine, Settings, first_settings, networks
from motet.network.config import NetworkConfig
from motet.network.ingress.config import IngressConfig
from motet.network.wireguard.config import WireguardConfig

Say = Callable[[str], None]

_START_SECONDS = 90.0
_STOP_SECONDS = 45.0
_LOOK_EVERY = 0.1
# A part that ends so many times with the same sentence will not come up by itself.
_HOPELESS = 3


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str
    message: str = ""


class _NodeStatus(msgspec.Struct, frozen=True):
    conditions: tuple[_Condition, ...] = ()


class _NodeView(msgspec.Struct, frozen=True):
    status: _NodeStatus = _NodeStatus()


def require_root() -> None:
    """Raises MotetError for anybody else: containers and networks are made by root."""
    if os.geteuid() != 0:
        raise MotetError(f"running containers needs root: sudo {' '.join(['motet', *sys.argv[1:]])}")


def running(machine: Machine) -> int:
    """The daemon's process, or 0."""
    try:
        pid = int(machine.pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if b"daemon" in command and os.fsencode(machine.data_dir) in command else 0


def connect(machine: Machine, settings: Settings) -> RemoteClient:
    """The administrator's client; on a worker's machine the node's own. Raises OSError while it has no certificate."""
    if settings.is_manager:
        context = administrator(machine)
    else:
        files = NodeFiles(machine.node_pki)
        context = tls.client_context(files.ca, files.pair, files.pair)
    return RemoteClient(machine.url(settings), context, user_agent="motet-cli")


def administrator(machine: Machine) -> ssl.SSLContext:
    """What the administrator shows to the API. Raises OSError on a machine without a manager."""
    return tls.client_context(machine.pki / "ca.crt", machine.pki / "admin.crt", machine.pki / "admin.key")


async def ensure(machine: Machine, say: Say) -> Settings:
    """Start whatever does not run, and return when the node takes pods. Raises MotetError with the reason if it does not."""
    settings = machine.settings()
    if settings is None:
        settings = first_settings()
        machine.remember(settings)
    if not settings.is_manager:
        raise MotetError(only_a_worker(settings))
    await bring_up(machine, settings, say)
    return settings


async def bring_up(machine: Machine, settings: Settings, say: Say, systemd: Systemd = Systemd()) -> None:
    """Start the daemon if it does not run, and return when the node takes pods. Raises MotetError.

    Where systemd runs the machine, it is what starts the daemon, now and after a reboot. A daemon that this started and that
    could not bring its parts up is ended again.
    """
    told = {
        log: log.stat().st_size if log.exists() else 0
        for log in (machine.logs / "server.log", machine.logs / "agent.log")
    }
    if running(machine):
        systemd.install(machine, lambda step: None)
        await _until_ready(machine, settings, say, told)
        return
    systemd.install(machine, say)
    say("starting the manager and the agent" if settings.is_manager else "starting the agent")
    start(machine, systemd)
    try:
        await _until_ready(machine, settings, say, told)
    except MotetError:
        await asyncio.to_thread(stop, machine, systemd)
        raise


def only_a_worker(settings: Settings) -> str:
    """What to tell who wants to administer the cluster from a worker."""
    return (
        f"this machine is a worker of the cluster at {settings.servers[0] if settings.servers else '?'}; do this on a "
        "manager's machine, or with a kubeconfig from there (motet kubeconfig)"
    )


def start(machine: Machine, systemd: Systemd = Systemd()) -> None:
    """Start the daemon: as systemd's unit where there is one, else in a session of its own. Raises MotetError."""
    if systemd.start(machine):
        return
    machine.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (machine.logs / "daemon.log").open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "motet", "daemon", "--data-dir", str(machine.data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )


async def _until_ready(machine: Machine, settings: Settings, say: Say, logs: dict[Path, int]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    why = told = "the daemon has not started yet"
    while time.monotonic() < deadline:
        why = await _not_ready(machine, settings)
        if not why:
            return
        if last_words := _last_words(logs):
            raise MotetError(f"Motet cannot start: {last_words}")
        if why != told:
            say(why)
            told = why
        await asyncio.sleep(_LOOK_EVERY)
    raise MotetError(
        f"Motet did not become ready within {_START_SECONDS:.0f} s: {why}.\nIts logs: {machine.logs}/*.log"
    )


def _last_words(logs: dict[Path, int]) -> str:
    """What a part of Motet gave up with, the same each time it was started again; empty while there is hope.

    `logs` are files and how long they were before this start.
    """
    for log, length in logs.items():
        if not log.exists():
            continue
        with log.open("rb") as file:
            file.seek(length if length <= log.stat().st_size else 0)
            lines = file.read().decode(errors="replace").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if len(errors) >= _HOPELESS and len(set(errors[-_HOPELESS:])) == 1:
            return errors[-1]
    return ""


async def _not_ready(machine: Machine, settings: Settings) -> str:
    """What is being waited for; empty when the node is ready."""
    if settings.is_manager and not ((machine.pki / "admin.key").exists() and (machine.pki / "admin.crt").exists()):
        return "waiting for the manager to make its certificates"
    try:
        async with connect(machine, settings) as client:
            found = await client.get(node.KIND, settings.node_name)
    except ApiError as error:
        if error.reason == VERSION_SKEW:
            raise MotetError(error.message) from error
        return "waiting for the node to register" if error.code == 404 else "waiting for the API"
    except OSError:
        return "waiting for the manager to make its certificates"
    conditions = {item.type: item for item in found.view(_NodeView).status.conditions}
    ready = conditions.get("Ready")
    if ready is None or ready.status != "True":
        return f"waiting for the node: {ready.message}" if ready and ready.message else "waiting for the node"
    return ""


def stop(machine: Machine, systemd: Systemd = Systemd()) -> bool:
    """End manager and agent; containers run on. Answers whether anything ran. Raises MotetError."""
    pid = running(machine)
    systemd.stop(machine)
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while running(machine) and Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise MotetError(f"the daemon (process {pid}) does not end; its log is {machine.logs / 'daemon.log'}")
        time.sleep(_LOOK_EVERY)
    return True


async def remove(machine: Machine, *, keep_data: bool = False, systemd: Systemd = Systemd()) -> None:
    """Take everything away: processes, containers, mounts, cgroups, rules, bridge, and the data unless it is kept.

    What else somebody keeps in the data directory stays, and so does the directory then, or when a disk is mounted there.
    Raises MotetError, with nothing touched, for a directory that is not Motet's.
    """
    from motet.network.node import NodeNetwork
    from motet.runtime import mounts
    from motet.runtime.containerd import Containerd
    from motet.runtime.settings import ContainerdConfig

    if machine.is_foreign:
        raise MotetError(f"{machine.data_dir} is not a data directory of Motet's; nothing was removed")
    settings = machine.settings()
    stop(machine, systemd)
    systemd.remove(machine)
    await Containerd(
        ContainerdConfig.below(machine.agent_dir, machine.run_dir, cgroup_root=machine.cgroup_root)
    ).destroy()
    if settings is not None:
        # In a thread: its netlink library cannot share a running event loop.
        await asyncio.to_thread(NodeNetwork.remove, network_config(machine, settings))
    for directory in (machine.agent_dir, machine.builder, *machine.csi_dirs):
        mounts.unmount_below(directory)
    for directory in (machine.run_dir, machine.pod_logs, machine.agent_dir, *machine.csi_dirs):
        if directory.exists():
            shutil.rmtree(directory)
    if not keep_data:
        _remove_data(machine)


def _remove_data(machine: Machine) -> None:
    for path in machine.made:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not there, not empty, or where a disk is mounted
        machine.data_dir.rmdir()


def network_config(machine: Machine, settings: Settings) -> NetworkConfig:
    """Enough of the network's configuration to find it in the kernel again."""
    pods, services, dns_address = networks(settings)
    return NetworkConfig(
        node_name=settings.node_name,
        pods=pods,
        all_pods=pods,
        services=services,
        dns_address=dns_address,
        bridge=settings.bridge,
        table=settings.table,
        encrypted=settings.encrypted,
        wireguard=WireguardConfig.below(machine.agent_dir, machine.run_dir, cgroup_root=machine.cgroup_root),
        ingress=IngressConfig.below(machine.agent_dir, machine.run_dir, cgroup_root=machine.cgroup_root),
        cni_config=machine.agent_dir / "cni",
        cni_state=machine.agent_dir / "cni",
    )
