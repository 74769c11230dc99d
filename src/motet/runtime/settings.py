"""What Motet's own containerd is told: its configuration, as a value and as the file containerd reads.

`observe` looks at the machine, `render` is pure. The file is version 2 of containerd's format, which 1.6 and 1.7
read and 2.x migrates by itself.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from motet.runtime import mounts, pause
from motet.runtime.interface import RuntimeFailure

_CAP_SYS_RESOURCE = 24
# A unix socket's path has room for 107 bytes, and containerd appends ".ttrpc".
_LONGEST_SOCKET = 100

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class ContainerdConfig:
    """Where one containerd lives and what it uses. All paths are absolute.

    `cgroup_root` holds `system` (containerd and its shims) and `pods`; `cni_bin_dir` and `snapshotter` are found out
    when empty; `launcher` is put before the command and must exec it (`nsenter --net=...`).
    """

    root: Path
    state: Path
    socket: Path
    log_file: Path
    cni_conf_dir: Path
    registry_dir: Path
    cni_bin_dir: str = ""
    sandbox_image: str = pause.REFERENCE
    snapshotter: str = ""
    runc: str = "runc"
    cgroup_root: str = "/motet"
    cgroup_mount: Path = Path("/sys/fs/cgroup")
    executable: str = "containerd"
    launcher: tuple[str, ...] = ()
    # Longer lines are cut in the log file, and marked so; what kubelet's log readers expect.
    log_line_bytes: int = 16 * 1024
    start_seconds: float = 30.0

    @property
    def file(self) -> Path:
        return self.root / "config.toml"

    @classmethod
    def below(cls, data: Path, run: Path, *, cgroup_root: str = "/motet") -> ContainerdConfig:
        """The usual layout: what must last below `data`, what a reboot may clear below `run`."""
        return cls(
            root=data / "containerd",
            state=run / "containerd",
            socket=run / "containerd.sock",
            log_file=data / "containerd.log",
            cni_conf_dir=data / "cni" / "net.d",
            registry_dir=data / "certs.d",
            cgroup_root=cgroup_root,
        )


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the machine allows."""

    cni_bin_dir: str
    snapshotter: str
    runc: str
    may_lower_oom_score: bool
    apparmor: bool


def observe(config: ContainerdConfig) -> HostFacts:
    """Look at this machine. Raises RuntimeFailure when something that must be installed is not."""
    if len(os.fsencode(config.socket)) > _LONGEST_SOCKET:
        raise RuntimeFailure(
            f"the socket path {config.socket} is longer than {_LONGEST_SOCKET} bytes", "BadConfiguration"
        )
    runc = shutil.which(config.runc, path=PATH)
    if runc is None:
        raise RuntimeFailure(f"{config.runc} is not installed (package runc)", "NotInstalled")
    return HostFacts(
        cni_bin_dir=config.cni_bin_dir or _find_cni(),
        snapshotter=config.snapshotter or ("overlayfs" if mounts.overlay_works(config.root) else "native"),
        runc=runc,
        may_lower_oom_score=_effective_capabilities() >> _CAP_SYS_RESOURCE & 1 == 1,
        apparmor=_apparmor(),
    )


def _find_cni() -> str:
    for directory in ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"):
        if Path(directory, "loopback").exists():
            return directory
    raise RuntimeFailure("the CNI plugins are not installed (package containernetworking-plugins)", "NotInstalled")


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _apparmor() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        return False


def _toml(value: str | Path) -> str:
    """A basic string: TOML's escapes are JSON's."""
    return msgspec.json.encode(str(value)).decode()


def _flag(value: bool) -> str:
    return "true" if value else "false"


def render(config: ContainerdConfig, facts: HostFacts) -> str:
    """The text of config.toml."""
    return f"""\
# Written by Motet at every start of the node; changes made here are lost.
version = 2
root = {_toml(config.root)}
state = {_toml(config.state)}
oom_score = {-999 if facts.may_lower_oom_score else 0}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.restart",
]

[grpc]
  address = {_toml(config.socket)}
  max_recv_message_size = 67108864
  max_send_message_size = 67108864

[ttrpc]
  address = {_toml(str(config.socket) + ".ttrpc")}

[plugins."io.containerd.internal.v1.opt"]
  path = {_toml(config.root / "opt")}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {_toml(config.sandbox_image)}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  max_container_log_line_size = {config.log_line_bytes}
  restrict_oom_score_adj = {_flag(not facts.may_lower_oom_score)}
  disable_apparmor = {_flag(not facts.apparmor)}
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {_toml(facts.cni_bin_dir)}
    conf_dir = {_toml(config.cni_conf_dir)}

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = {_toml(facts.snapshotter)}
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = {_toml(facts.runc)}
        Root = {_toml(config.state / "runc")}
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {_toml(config.registry_dir)}
"""
