"""A service's pod in the kernel's words: pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from motet.base import quantity
from motet.cli.compose import rollout
from motet.cli.compose.model import FileReference, HealthCheck, Mount, Privileges, Project, PublishedPort, Service
from motet.cli.compose.model import Resources as Amounts
from motet.cli.compose.rollout import object_name
from motet.dialects.docker import generics, resolver
from motet.kinds import imagehealth, podmarks, processes

Json = dict[str, Any]

_GRACE_SECONDS = 10
# While starting, a health check runs this often, so that nobody waits for the first interval to pass.
_START_INTERVAL = 1
# An unhealthy container is not restarted (Compose leaves it alone).
_FOREVER = 2**31 - 1
_PULL = {"always": "Always", "never": "Never"}


def literal(value: str) -> str:
    """Text that the kernel's own $(NAME) expansion turns back into itself (core/v1 EnvVar.value)."""
    return re.sub(r"\$(?=[$(])", "$$", value)


def spec(project: Project, service: Service, image: str) -> Json:
    """The PodSpec of a service that runs `image`."""
    container: Json = {"name": object_name(service.name), "image": image}
    container["imagePullPolicy"] = _PULL.get(service.pull, "IfNotPresent")
    container.update(_process(service))
    made: Json = {
        "containers": [container],
        "restartPolicy": rollout.restart_policy(project, service),
        "terminationGracePeriodSeconds": _GRACE_SECONDS if service.stop_grace is None else service.stop_grace,
        "enableServiceLinks": False,
        # Nothing in a Compose file speaks to the cluster.
        "automountServiceAccountToken": False,
    }
    volumes, mounts = _files(project, service)
    if volumes:
        made["volumes"] = volumes
    if mounts:
        container["volumeMounts"] = mounts
    if service.devices:
        container["volumeDevices"] = [
            {"name": f"device-{index}", "devicePath": each.target} for index, each in enumerate(service.devices)
        ]
    if service.stop_signal:
        made["os"] = {"name": "linux"}
    if service.placement.platform:
        system, architecture = service.placement.platform
        wanted = {"kubernetes.io/os": system, "kubernetes.io/arch": architecture}
        made["nodeSelector"] = {label: value for label, value in wanted.items() if value}
    if service.runtime:
        made["runtimeClassName"] = service.runtime
    if service.init:
        # The pod's own first process reaps what the service leaves behind.
        made["shareProcessNamespace"] = True
    return {**made, **_names(service), **_network(service)[0], **_of_pod(service)}


def marks(project: Project, service: Service) -> dict[str, str]:
    """Annotations for what pods have no fields for."""
    found = {**dict(service.logging), **_network(service)[1]}
    if service.processes:
        found[processes.LIMIT] = str(service.processes)
    if service.oom_score is not None:
        found[podmarks.OOM_SCORE] = str(service.oom_score)
    owners = {
        f"{key}-{index}": use.owner
        for key, uses in (("secret", service.secrets), ("config", service.configs))
        for index, use in enumerate(uses)
        if use.owner is not None
    }
    if owners:
        found[podmarks.FILE_OWNERS] = podmarks.owners_text(owners)
    if templates := list(_templates(project, service)):
        found[podmarks.EXPANDED] = ",".join(templates)
    if service.privileges.user_by_name:
        found[podmarks.USER] = service.privileges.user
    if service.health is None:
        # Nothing said is the image's own check; one that is switched off is said.
        found[imagehealth.ANNOTATION] = f"{object_name(service.name)}={imagehealth.READY}"
    return found


def _templates(project: Project, service: Service) -> Iterator[str]:
    """The volumes whose files are filled in."""
    for key, files, uses in (
        ("secret", project.secrets, service.secrets),
        ("config", project.configs, service.configs),
    ):
        filled_in = {each.name for each in files if each.template}
        yield from (f"{key}-{index}" for index, use in enumerate(uses) if use.source in filled_in)


def _network(service: Service) -> tuple[Json, dict[str, str]]:
    """Namespaces of the node's and names, (of the pod's spec, in its annotations)."""
    found: Json = {f"host{key.upper()}": True for key in ("ipc", "pid") if key in service.of_node}
    if "network" in service.of_node:
        found |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    dns = service.dns
    return found, resolver.put(found, dns.servers, dns.searches, dns.options)


def _names(service: Service) -> Json:
    found: Json = {}
    if service.hostname:
        found["hostname"] = service.hostname
    if service.extra_hosts:
        found["hostAliases"] = [{"ip": address, "hostnames": [name]} for name, address in service.extra_hosts]
    return found


def _of_pod(service: Service) -> Json:
    security: Json = {}
    if service.privileges.groups:
        security["supplementalGroups"] = list(service.privileges.groups)
    if service.privileges.sysctls:
        security["sysctls"] = [{"name": name, "value": value} for name, value in service.privileges.sysctls]
    return {"securityContext": security} if security else {}


def _files(project: Project, service: Service) -> tuple[list[Json], list[Json]]:
    """(volumes, mounts)."""
    volumes: list[Json] = []
    mounts: list[Json] = []
    for index, mount in enumerate(service.mounts):
        name = f"mount-{index}"
        volumes.append({"name": name, **_volume(project, mount)})
        mounted = _mounted(name, mount.target, read_only=mount.read_only, subpath=mount.subpath)
        mounts.append({**mounted, "mountPropagation": mount.propagation} if mount.propagation else mounted)
    for index, device in enumerate(service.devices):
        kind = "BlockDevice" if device.block else "CharDevice"
        volumes.append({"name": f"device-{index}", "hostPath": {"path": device.source, "type": kind}})
    for key, uses in (("secret", service.secrets), ("config", service.configs)):
        for index, use in enumerate(uses):
            name = f"{key}-{index}"
            volumes.append({"name": name, **_file_volume(key, use)})
            mounts.append(_mounted(name, use.target, read_only=True, subpath="content"))
    return volumes, mounts


def _process(service: Service) -> Json:
    """The container's own fields."""
    fields: Json = {}
    if service.entrypoint is not None:
        fields["command"] = [literal(word) for word in service.entrypoint]
    if service.command is not None:
        fields["args"] = [literal(word) for word in service.command]
    env = [{"name": name, "value": literal(value)} for name, value in service.environment]
    if env := [*env, *generics.told(service.reservations.counted)]:
        fields["env"] = env
    if service.working_dir:
        fields["workingDir"] = service.working_dir
    for given, member in ((service.stdin, "stdin"), (service.tty, "tty")):
        if given:
            fields[member] = True
    if host_ports := [port for port in service.ports if port.host]:
        fields["ports"] = [_host_port(port) for port in host_ports]
    if service.health is not None and service.health.command:
        fields["readinessProbe"] = _probe(service.health)
        fields["startupProbe"] = _startup(service.health)
    if lifecycle := _lifecycle(service):
        fields["lifecycle"] = lifecycle
    if resources := _resources(service):
        fields["resources"] = resources
    if security := _security(service.privileges):
        fields["securityContext"] = security
    return fields


def _lifecycle(service: Service) -> Json:
    found: Json = {
        member: {"exec": {"command": list(command)}}
        for member, command in (("postStart", service.post_start), ("preStop", service.pre_stop))
        if command
    }
    if signal := service.stop_signal:
        found["stopSignal"] = signal if signal.startswith("SIG") else f"SIG{signal}"
    return found


def _resources(service: Service) -> Json:
    limits, requests = _amounts(service.limits), _amounts(service.reservations)
    counted = {generics.resource(kind): str(count) for kind, count in service.reservations.counted}
    if not limits and not requests and not counted:
        return {}
    # A limit reserves nothing in Compose; without a word it would here.
    requests = {**dict.fromkeys(limits, "0"), **requests, **counted}
    return {"requests": requests, **({"limits": {**limits, **counted}} if limits or counted else {})}


def _volume(project: Project, mount: Mount) -> Json:
    if mount.kind == "bind":
        return {"hostPath": {"path": mount.source, "type": ""}}
    if mount.kind == "volume" and mount.source:
        volume = next(each for each in project.volumes if each.key == mount.source)
        if volume.path:
            return {"hostPath": {"path": volume.path, "type": "Directory"}}
        return {"persistentVolumeClaim": {"claimName": object_name(volume.name)}}
    empty: Json = {"medium": "Memory"} if mount.kind == "tmpfs" else {}
    if mount.size:
        empty["sizeLimit"] = quantity.format_bytes(mount.size)
    return {"emptyDir": empty}


def _file_volume(key: str, use: FileReference) -> Json:
    name = object_name(f"{key}-{use.source}")
    mode = {} if use.mode is None else {"defaultMode": use.mode}
    return {"secret": {"secretName": name, **mode}} if key == "secret" else {"configMap": {"name": name, **mode}}


def _mounted(name: str, target: str, *, read_only: bool, subpath: str) -> Json:
    mounted: Json = {"name": name, "mountPath": target}
    if read_only:
        mounted["readOnly"] = True
    if subpath:
        mounted["subPath"] = subpath
    return mounted


def _host_port(port: PublishedPort) -> Json:
    published: Json = {
        "containerPort": port.target,
        "hostPort": port.published or port.target,
        "protocol": port.protocol,
    }
    if port.host_ip:
        published["hostIP"] = port.host_ip
    return published


def _probe(check: HealthCheck) -> Json:
    return {
        "exec": {"command": list(check.command)},
        "periodSeconds": max(1, check.interval),
        "timeoutSeconds": max(1, check.timeout),
        "failureThreshold": check.retries,
    }


def _startup(check: HealthCheck) -> Json:
    """The same check, more often, until it holds for the first time."""
    period = check.start_interval or min(check.interval, _START_INTERVAL)
    return {**_probe(check), "periodSeconds": max(1, period), "failureThreshold": _FOREVER}


def _amounts(amounts: Amounts) -> Json:
    given: Json = {}
    if amounts.millicores:
        given["cpu"] = quantity.format_millis(amounts.millicores)
    if amounts.memory:
        given["memory"] = quantity.format_bytes(amounts.memory)
    return given


def _security(given: Privileges) -> Json:
    security: Json = {}
    if given.privileged:
        security["privileged"] = True
    if given.read_only:
        security["readOnlyRootFilesystem"] = True
    if given.cap_add or given.cap_drop:
        security["capabilities"] = {"add": list(given.cap_add), "drop": list(given.cap_drop)}
    if given.user and not given.user_by_name:
        user, _, group = given.user.partition(":")
        security["runAsUser"] = int(user)
        if group:
            security["runAsGroup"] = int(group)
    if given.no_new is not None:
        security["allowPrivilegeEscalation"] = not given.no_new
    if given.seccomp:
        security["seccompProfile"] = {"type": "Unconfined"}
    if given.apparmor == "unconfined":
        security["appArmorProfile"] = {"type": "Unconfined"}
    elif given.apparmor:
        security["appArmorProfile"] = {"type": "Localhost", "localhostProfile": given.apparmor}
    return security
