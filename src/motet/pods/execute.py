"""Carrying out the steps that `decide` chooses: the only module of this room that changes the node.

Every step is safe to repeat. A step that cannot be done raises RuntimeFailure (with the reason upstream would show) or
ApiError; the worker remembers the failure and the next decision waits it out.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from motet.base.clock import Clock
from motet.base.errors import Conflict, NotFound
from motet.client.events import About, EventRecorder
from motet.client.interface import Client
from motet.kinds import pod as pod_kind
from motet.kinds import processes
from motet.pods import env, hooks, hosts, logs, model, resources, security
from motet.pods.actions import Actions
from motet.pods.config import PodsConfig
from motet.pods.images import Images
from motet.pods.isolation import Isolation, NoIsolation, secured
from motet.pods.model import CreateContainer, CreateSandbox, Kill, Observed, StartContainer, StopContainers
from motet.pods.security import ConfigError
from motet.pods.sources import Sources
from motet.pods.spec import ContainerSpec, Pod
from motet.pods.volumes import Volumes
from motet.runtime.cgroups import Cgroups, Limits
from motet.runtime.interface import (
    Container,
    ContainerConfig,
    ImageNotFound,
    Mount,
    NoSuchContainer,
    Port,
    Resources,
    Runtime,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
)

# What is left for a container after a preStop hook that used up the grace period, in seconds.
_LEAST_GRACE = 2
# How long a pod that is deleted waits at most for new connections to go elsewhere, in seconds.
_LONGEST_DRAIN = 2.0
_ETC_HOSTS = "/etc/hosts"


async def _at_once(namespace: str, uid: str, longest: float) -> None:
    """Where nobody knows who begins connections."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps of all pods share."""

    config: PodsConfig
    client: Client
    runtime: Runtime
    clock: Clock
    recorder: EventRecorder
    sources: Sources
    volumes: Volumes
    images: Images
    actions: Actions
    cgroups: Cgroups
    isolation: Isolation = field(default_factory=NoIsolation)
    # Returns when nobody begins connections to the pod (namespace, uid) any more, and after so many seconds anyway.
    drained: Callable[[str, str, float], Awaitable[None]] = _at_once

    def say(self, pod: Pod, type: str, reason: str, message: str, container: ContainerSpec | None = None) -> None:
        """Tell an event about a pod or one of its containers."""
        meta = pod.metadata
        path = ""
        if container is not None:
            path = f"spec.{_list_of(pod, container)}{{{container.name}}}"
        about = About("v1", "Pod", meta.name, meta.namespace, meta.uid, meta.resource_version, path)
        self.recorder.event(about, type, reason, message)

    def teller(self, pod: Pod, container: ContainerSpec) -> Callable[[str, str, str], None]:
        return lambda type, reason, message: self.say(pod, type, reason, message, container)


def _list_of(pod: Pod, container: ContainerSpec) -> str:
    if container in pod.inits:
        return "initContainers"
    return "ephemeralContainers" if container in pod.ephemerals else "containers"


def log_directory(config: PodsConfig, pod: Pod) -> Path:
    """Where the logs of a pod are (kubelet's layout below /var/log/pods)."""
    meta = pod.metadata
    return config.logs_directory / f"{meta.namespace}_{meta.name}_{meta.uid}"


def log_file(config: PodsConfig, pod: Pod, container: str, attempt: int) -> Path:
    return log_directory(config, pod) / container / f"{attempt}.log"


def cgroup_of(config: PodsConfig, pod: Pod) -> str:
    quality = resources.qos_class(pod).lower()
    return f"{config.cgroup_parent}/{quality}/pod{pod.metadata.uid}"


def pod_ips(pod: Pod, sandbox: Sandbox | None, config: PodsConfig) -> tuple[str, ...]:
    if pod.spec.host_network:
        return config.place.host_ips
    return sandbox.ips if sandbox is not None else ()


async def prepare(tools: Tools, pod: Pod) -> None:
    """The pod's directories, cgroup and volumes."""
    config = tools.config
    tools.volumes.directory(pod.metadata.uid).mkdir(parents=True, exist_ok=True)
    for container in pod.everything:
        (log_directory(config, pod) / container.name).mkdir(parents=True, exist_ok=True)
    whole = resources.of_pod(pod)
    limits = Limits(
        cpu_shares=whole.cpu_shares,
        cpu_quota=whole.cpu_quota,
        memory=whole.memory_limit,
        pids=processes.limit(pod.metadata.annotations, config.pids_per_pod),
    )
    await asyncio.to_thread(tools.cgroups.create, cgroup_of(config, pod), limits)
    await tools.volumes.prepare(pod)


def sandbox_config(tools: Tools, pod: Pod, attempt: int) -> SandboxConfig:
    """The sandbox of `pod`, the same every time it is asked for."""
    spec, meta, config = pod.spec, pod.metadata, tools.config
    context = spec.security_context
    ports = [
        Port(port.container_port, port.host_port, port.protocol, port.host_ip)
        for container in pod.everything
        for port in container.ports or ()
        if port.host_port and not spec.host_network
    ]
    labels = {**_whose(pod), model.NODE: config.place.node_name}
    return SandboxConfig(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        attempt=attempt,
        hostname=hosts.hostname(pod, config.dns.domain),
        log_directory=str(log_directory(config, pod)),
        cgroup_parent=cgroup_of(config, pod),
        labels={**(meta.labels or {}), **labels},
        annotations={**(meta.annotations or {}), model.GRACE: str(pod.grace)},
        dns=hosts.dns(pod, config.dns, hosts.parse_resolv_conf(_text(config.dns.resolv_conf))),
        ports=tuple(ports),
        sysctls={sysctl.name: sysctl.value for sysctl in context.sysctls or ()},
        host_network=spec.host_network,
        host_pid=spec.host_pid,
        host_ipc=spec.host_ipc,
        share_processes=bool(spec.share_process_namespace),
        run_as_user=context.run_as_user,
        run_as_group=context.run_as_group if context.run_as_user is not None else None,
        supplemental_groups=security.groups(pod),
        privileged=any(container.security_context.privileged for container in pod.everything),
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


async def create_sandbox(tools: Tools, pod: Pod, step: CreateSandbox) -> None:
    config = sandbox_config(tools, pod, step.attempt)
    if name := pod.spec.runtime_class_name:
        handler = await tools.sources.runtime_handler(name)
        if handler is None:
            raise RuntimeFailure(f'RuntimeClass "{name}" not found', "FailedCreatePodSandBox")
        config = replace(config, handler=handler)
    await tools.runtime.run_sandbox(config)


async def create_container(
    tools: Tools, pod: Pod, step: CreateContainer, sandbox: Sandbox, observed: Observed
) -> tuple[str, Resources]:
    """Gather everything a container needs and make it: its id, and its limits.

    Raises ConfigError for what the pod refers to and is not there.
    """
    spec = pod.container(step.container)
    if spec is None:
        raise RuntimeFailure(f"the pod has no container {step.container}", "CreateContainerError")
    config = tools.config
    image = await tools.images.present(step.image)
    if image is None:
        raise ImageNotFound(f"image {step.image} has been cleared away meanwhile", "CreateContainerError")
    settings = security.of(pod, spec, image, config.seccomp_profiles)
    ips = pod_ips(pod, sandbox, config)
    variables = await env.of_container(pod, spec, tools.sources, config.place, ips)
    mounts = list(await tools.volumes.mounts(pod, spec, variables))
    directory = tools.volumes.directory(pod.metadata.uid)
    if not any(mount.container_path.rstrip("/") == _ETC_HOSTS for mount in mounts):
        mounts.append(Mount(str(_etc_hosts(directory, pod, ips, config)), _ETC_HOSTS))
    message_file = _message_file(directory, spec, step.attempt)
    mounts.append(Mount(str(message_file), spec.termination_message_path))
    log_file(config, pod, spec.name, step.attempt).parent.mkdir(parents=True, exist_ok=True)
    limits = resources.of_container(pod, spec, config.place.memory)
    made = await tools.runtime.create_container(
        sandbox.id,
        ContainerConfig(
            name=spec.name,
            attempt=step.attempt,
            image=step.image,
            log_path=f"{spec.name}/{step.attempt}.log",
            command=env.expand_all(spec.command or (), variables),
            args=env.expand_all(spec.args or (), variables),
            working_dir=spec.working_dir,
            env=tuple(variables.items()),
            mounts=tuple(mounts),
            devices=tools.volumes.devices(pod, spec),
            labels={model.CONTAINER_NAME: spec.name, **_whose(pod)},
            annotations=_notes(pod, spec, step, message_file),
            stdin=spec.stdin,
            stdin_once=spec.stdin_once,
            tty=spec.tty,
            resources=limits,
            stop_signal=(spec.lifecycle.stop_signal if spec.lifecycle is not None else None) or "",
            security=settings,
            pid_of_pod=bool(pod.spec.share_process_namespace),
            pid_of_host=pod.spec.host_pid,
            pid_of_container=_target(spec, observed),
        ),
        sandbox_config(tools, pod, sandbox.attempt),
    )
    tools.say(pod, "Normal", "Created", f"Created container: {spec.name}", spec)
    return made, limits


def _whose(pod: Pod) -> dict[str, str]:
    meta = pod.metadata
    return {model.POD_NAME: meta.name, model.POD_NAMESPACE: meta.namespace, model.POD_UID: meta.uid}


def _notes(pod: Pod, spec: ContainerSpec, step: CreateContainer, message_file: Path) -> dict[str, str]:
    """What the next agent has to know of a container."""
    return {
        model.RESTART_COUNT: str(step.attempt),
        model.MESSAGE_PATH: spec.termination_message_path,
        model.MESSAGE_POLICY: spec.termination_message_policy,
        model.MESSAGE_FILE: str(message_file),
        model.BACKOFF: str(step.backoff),
        model.IMAGE: spec.image,
        model.GRACE: str(pod.grace),
    }


def _target(spec: ContainerSpec, observed: Observed) -> str:
    """The running container whose processes an ephemeral one asks to see. Raises ConfigError when it does not run."""
    name = spec.target_container_name
    if not name:
        return ""
    target = next((made for made in observed.running if made.name == name), None)
    if target is None:
        raise ConfigError(f"unable to find target container {name}")
    return target.id


def _etc_hosts(directory: Path, pod: Pod, ips: tuple[str, ...], config: PodsConfig) -> Path:
    path = directory / "etc-hosts"
    text = hosts.hosts_file(pod, ips, config.dns.domain, _text(_ETC_HOSTS) if pod.spec.host_network else "")
    if not path.exists() or path.read_text() != text:
        # In place: running containers have this very file mounted.
        path.write_text(text)
        path.chmod(0o644)
    return path


def _message_file(directory: Path, spec: ContainerSpec, attempt: int) -> Path:
    path = directory / "containers" / spec.name / f"{attempt}.message"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    # The container's own user must be able to write it.
    path.chmod(0o666)
    for old in path.parent.glob("*.message"):
        if old.stem.isdigit() and int(old.stem) < attempt - 1:
            old.unlink(missing_ok=True)
    return path


async def start_container(tools: Tools, pod: Pod, step: StartContainer, sandbox: Sandbox | None) -> None:
    """Start it and run its postStart hook; a hook that fails is the container's end."""
    spec = pod.container(step.container)
    await secured(tools.isolation)
    try:
        await tools.runtime.start_container(step.container_id)
    except NoSuchContainer:
        raise
    except RuntimeFailure as failure:
        raise RuntimeFailure(str(failure), "RunContainerError") from failure
    tools.say(pod, "Normal", "Started", f"Started container {step.container}", spec)
    if spec is None or spec.lifecycle is None or spec.lifecycle.post_start is None:
        return
    ip = next(iter(pod_ips(pod, sandbox, tools.config)), "127.0.0.1")
    answer = await hooks.run(
        spec.lifecycle.post_start, spec, step.container_id, ip, tools.actions, tools.clock, hooks.POST_START_TIMEOUT
    )
    if not answer.ok:
        tools.say(pod, "Warning", "FailedPostStartHook", f"PostStartHook failed: {answer.output}", spec)
        tools.say(pod, "Normal", "Killing", "FailedPostStartHook", spec)
        await tools.runtime.stop_container(step.container_id, pod.grace)


async def stop_containers(tools: Tools, pod: Pod, step: StopContainers, sandbox: Sandbox | None) -> None:
    """Stop all of them side by side; those of a deleted pod when no new connections come to it, within the grace period."""
    began = tools.clock.monotonic()
    for kill in step.kills:
        message = step.message.replace("{name}", kill.container)
        tools.say(pod, "Normal", "Killing", message, pod.container(kill.container))
    if step.deleting and step.grace > 0:
        await tools.drained(pod.metadata.namespace, pod.metadata.uid, min(_LONGEST_DRAIN, step.grace / 2))
    await asyncio.gather(*(_stop(tools, pod, step.grace, kill, sandbox, began) for kill in step.kills))


async def _stop(tools: Tools, pod: Pod, grace: int, kill: Kill, sandbox: Sandbox | None, began: float) -> None:
    def left() -> float:
        return grace - (tools.clock.monotonic() - began)

    spec = pod.container(kill.container)
    hook = spec.lifecycle.pre_stop if spec is not None and spec.lifecycle is not None else None
    least = min(grace, 1)
    if spec is not None and hook is not None and grace > 0:
        ip = next(iter(pod_ips(pod, sandbox, tools.config)), "127.0.0.1")
        answer = await hooks.run(hook, spec, kill.container_id, ip, tools.actions, tools.clock, left())
        if not answer.ok:
            tools.say(pod, "Warning", "FailedPreStopHook", f"PreStopHook failed: {answer.output}", spec)
        least = _LEAST_GRACE
    await tools.runtime.stop_container(kill.container_id, round(max(least, left())))


async def remove_container(tools: Tools, pod: Pod, container: Container) -> None:
    """Remove it and its log."""
    await tools.runtime.remove_container(container.id)
    logs.remove(container.log_path or str(log_file(tools.config, pod, container.name, container.attempt)))


async def cleanup(tools: Tools, pod: Pod, *, everything: bool) -> None:
    """Take away volumes and cgroup, and with `everything` the pod's directories and logs."""
    await tools.volumes.teardown(pod.metadata.uid, everything=everything)
    for quality in ("guaranteed", "burstable", "besteffort"):
        path = f"{tools.config.cgroup_parent}/{quality}/pod{pod.metadata.uid}"
        if tools.cgroups.exists(path):
            await tools.cgroups.remove(path)
    if everything:
        directory = log_directory(tools.config, pod)
        if directory.is_dir():
            await asyncio.to_thread(shutil.rmtree, directory)


async def finish_deletion(tools: Tools, pod: Pod) -> None:
    """Let the API forget the pod; it may have done so already, or have another pod of that name."""
    try:
        await tools.client.delete(
            pod_kind.KIND, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid, grace_seconds=0
        )
    except (NotFound, Conflict):
        return
