"""CRI messages to and from Motet's words. Pure; field meanings follow k8s.io/cri-api v1."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from cri_api.v1 import api_pb2

from motet.runtime.interface import (
    Container,
    ContainerConfig,
    ContainerState,
    Image,
    Mount,
    Resources,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Security,
)

api: Any = api_pb2

# What the OCI runtime-tools hide by default. containerd hides nothing unless it is told to.
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# CRI has a field for the stop signal only since containerd 2.1; until then it travels here and Motet sends it.
STOP_SIGNAL = "motet.dev/stop-signal"

_PROPAGATION = {
    "private": api.PROPAGATION_PRIVATE,
    "host-to-container": api.PROPAGATION_HOST_TO_CONTAINER,
    "bidirectional": api.PROPAGATION_BIDIRECTIONAL,
}
_PROTOCOLS = {"TCP": api.TCP, "UDP": api.UDP, "SCTP": api.SCTP}
_STATES = {
    api.CONTAINER_CREATED: ContainerState.CREATED,
    api.CONTAINER_RUNNING: ContainerState.RUNNING,
    api.CONTAINER_EXITED: ContainerState.EXITED,
    api.CONTAINER_UNKNOWN: ContainerState.UNKNOWN,
}


def _optional(value: int | None) -> Any:
    return None if value is None else api.Int64Value(value=value)


def _profile(word: str) -> Any:
    """`runtime/default`, `unconfined` or `localhost/PATH` as a SecurityProfile."""
    profiles = api.SecurityProfile
    if word == "runtime/default":
        return profiles(profile_type=profiles.RuntimeDefault)
    if word == "unconfined":
        return profiles(profile_type=profiles.Unconfined)
    if word.startswith("localhost/"):
        return profiles(profile_type=profiles.Localhost, localhost_ref=word.removeprefix("localhost"))
    raise RuntimeFailure(f"seccomp profile {word!r} is none of runtime/default, unconfined, localhost/PATH")


def _apparmor(word: str) -> Any:
    if word.startswith("localhost/"):
        name = word.removeprefix("localhost/")
        return api.SecurityProfile(profile_type=api.SecurityProfile.Localhost, localhost_ref=name)
    return _profile(word) if word else None


def _namespaces(config: SandboxConfig, *, pid: Any, target: str = "") -> Any:
    return api.NamespaceOption(
        target_id=target,
        network=api.NODE if config.host_network else api.POD,
        ipc=api.NODE if config.host_ipc else api.POD,
        pid=pid,
    )


def sandbox_config(config: SandboxConfig) -> Any:
    pid = api.NODE if config.host_pid else api.POD if config.share_processes else api.CONTAINER
    security = api.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(config, pid=pid),
        run_as_user=_optional(config.run_as_user),
        # CRI refuses a group without a user.
        run_as_group=_optional(config.run_as_group if config.run_as_user is not None else None),
        supplemental_groups=config.supplemental_groups,
        privileged=config.privileged,
        seccomp=_profile("unconfined" if config.privileged else "runtime/default"),
    )
    return api.PodSandboxConfig(
        metadata=api.PodSandboxMetadata(
            name=config.name, namespace=config.namespace, uid=config.uid, attempt=config.attempt
        ),
        # Without a UTS namespace of its own the pod has the host's name, and runc refuses to set another.
        hostname="" if config.host_network else config.hostname,
        log_directory=config.log_directory,
        dns_config=api.DNSConfig(servers=config.dns.servers, searches=config.dns.searches, options=config.dns.options),
        port_mappings=[
            api.PortMapping(
                protocol=_PROTOCOLS[port.protocol],
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in config.ports
        ],
        labels=config.labels,
        annotations=config.annotations,
        linux=api.LinuxPodSandboxConfig(
            cgroup_parent=config.cgroup_parent, security_context=security, sysctls=config.sysctls
        ),
    )


def resources(wanted: Resources) -> Any:
    return api.LinuxContainerResources(
        cpu_shares=wanted.cpu_shares,
        cpu_quota=wanted.cpu_quota,
        cpu_period=wanted.cpu_period,
        memory_limit_in_bytes=wanted.memory_limit,
        oom_score_adj=wanted.oom_score_adj,
    )


def resources_of(spec: Mapping[str, Any]) -> Resources:
    """What an OCI runtime specification limits a container to."""
    limits = (spec.get("linux") or {}).get("resources") or {}
    cpu, memory = limits.get("cpu") or {}, limits.get("memory") or {}
    return Resources(
        cpu_shares=cpu.get("shares") or 0,
        cpu_quota=max(0, cpu.get("quota") or 0),
        cpu_period=cpu.get("period") or 100_000,
        memory_limit=max(0, memory.get("limit") or 0),
        oom_score_adj=(spec.get("process") or {}).get("oomScoreAdj") or 0,
    )


def _security(config: ContainerConfig, sandbox: SandboxConfig) -> Any:
    wanted: Security = config.security
    pid = api.NODE if config.pid_of_host else api.POD if config.pid_of_pod else api.CONTAINER
    if config.pid_of_container:
        pid = api.TARGET
    masked = MASKED_PATHS if wanted.masked_paths is None else wanted.masked_paths
    readonly = READONLY_PATHS if wanted.readonly_paths is None else wanted.readonly_paths
    return api.LinuxContainerSecurityContext(
        capabilities=api.Capability(
            add_capabilities=wanted.add_capabilities, drop_capabilities=wanted.drop_capabilities
        ),
        privileged=wanted.privileged,
        namespace_options=_namespaces(sandbox, pid=pid, target=config.pid_of_container),
        run_as_user=_optional(wanted.run_as_user),
        run_as_username=wanted.run_as_username,
        run_as_group=_optional(wanted.run_as_group),
        supplemental_groups=wanted.supplemental_groups,
        readonly_rootfs=wanted.read_only_root,
        no_new_privs=wanted.no_new_privileges and not wanted.privileged,
        masked_paths=() if wanted.privileged else masked,
        readonly_paths=() if wanted.privileged else readonly,
        seccomp=_profile("unconfined" if wanted.privileged else wanted.seccomp),
        apparmor=_apparmor(wanted.apparmor),
    )


def _mount(mount: Mount) -> Any:
    return api.Mount(
        host_path=mount.host_path,
        container_path=mount.container_path,
        readonly=mount.read_only,
        propagation=_PROPAGATION[mount.propagation],
    )


def signal_number(name: str) -> str:
    """`SIGUSR1`, `USR1` or `10` as a number. Raises RuntimeFailure."""
    if name.isdigit() and 0 < int(name) < 65:
        return name
    try:
        return str(int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]))
    except KeyError:
        raise RuntimeFailure(f"{name!r} is not a signal", "InvalidStopSignal") from None


def container_config(config: ContainerConfig, sandbox: SandboxConfig) -> Any:
    annotations = dict(config.annotations)
    if config.stop_signal:
        annotations[STOP_SIGNAL] = signal_number(config.stop_signal)
    return api.ContainerConfig(
        metadata=api.ContainerMetadata(name=config.name, attempt=config.attempt),
        image=api.ImageSpec(image=config.image),
        command=config.command,
        args=config.args,
        working_dir=config.working_dir,
        envs=[api.KeyValue(key=key, value=value) for key, value in config.env],
        mounts=[_mount(mount) for mount in config.mounts],
        devices=[
            api.Device(host_path=host, container_path=inside, permissions=permissions)
            for host, inside, permissions in config.devices
        ],
        labels=config.labels,
        annotations=annotations,
        log_path=config.log_path,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
        linux=api.LinuxContainerConfig(
            resources=resources(config.resources), security_context=_security(config, sandbox)
        ),
    )


def sandbox(item: Any) -> Sandbox:
    """From an entry of ListPodSandbox, which has no addresses."""
    return _sandbox(item, ())


def sandbox_status(status: Any) -> Sandbox:
    addresses = [status.network.ip, *(extra.ip for extra in status.network.additional_ips)]
    return _sandbox(status, tuple(address for address in addresses if address))


def _sandbox(item: Any, ips: tuple[str, ...]) -> Sandbox:
    return Sandbox(
        id=item.id,
        name=item.metadata.name,
        namespace=item.metadata.namespace,
        uid=item.metadata.uid,
        attempt=item.metadata.attempt,
        ready=item.state == api.SANDBOX_READY,
        created_at=item.created_at,
        ips=ips,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def container(item: Any) -> Container:
    """From an entry of ListContainers."""
    return Container(
        id=item.id,
        sandbox_id=item.pod_sandbox_id,
        name=item.metadata.name,
        attempt=item.metadata.attempt,
        state=_STATES[item.state],
        created_at=item.created_at,
        image=item.image.image,
        image_ref=item.image_ref,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def container_status(status: Any, sandbox_id: str) -> Container:
    return Container(
        id=status.id,
        sandbox_id=sandbox_id,
        name=status.metadata.name,
        attempt=status.metadata.attempt,
        state=_STATES[status.state],
        created_at=status.created_at,
        image=status.image.image,
        image_ref=status.image_ref,
        labels=dict(status.labels),
        annotations=dict(status.annotations),
        # containerd notes the start when starting returns, which may be after a short life has ended.
        started_at=min(status.started_at, status.finished_at or status.started_at),
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        log_path=status.log_path,
    )


def image(item: Any) -> Image:
    return Image(
        id=item.id,
        tags=tuple(item.repo_tags),
        digests=tuple(item.repo_digests),
        size=item.size,
        uid=item.uid.value if item.HasField("uid") else None,
        username=item.username,
    )


_AUTH_FIELDS = ("username", "password", "auth", "server_address", "identity_token", "registry_token")


def auth(credentials: dict[str, str] | None) -> Any:
    """An AuthConfig, or None without credentials. `token` is short for registry_token."""
    if not credentials:
        return None
    named = {("registry_token" if key == "token" else key): value for key, value in credentials.items()}
    unknown = sorted(set(named) - set(_AUTH_FIELDS))
    if unknown:
        raise RuntimeFailure(f"registry credentials cannot have {', '.join(unknown)}; known are {_AUTH_FIELDS}")
    return api.AuthConfig(**named)
