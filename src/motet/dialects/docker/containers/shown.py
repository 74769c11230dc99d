"""Containers as Docker shows them: a line of `docker ps`, and everything of `docker inspect`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from motet.base import quantity
from motet.dialects.docker import networks, objects
from motet.dialects.docker.containers import durations, known
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.containerspec import plain
from motet.kinds import attachments
from motet.store.document import Document

Json = dict[str, Any]

_DRIVER = "overlayfs"
_NANOSECONDS = 1_000_000_000
# A health check that has not held yet counts as starting for so many failures.
_RETRIES = 3


# --- what both need ---------------------------------------------------------------------------------------------------


def document(container: Container) -> Json:
    """The pod of its newest run, or what one will be made of."""
    if container.pod is not None:
        return container.pod.decode()
    template: Json = container.template.decode()["template"] if container.template is not None else {}
    return template


def part_of(pod: Mapping[str, Any], name: str) -> Json:
    found: Json = next((each for each in pod.get("spec", {}).get("containers") or () if each["name"] == name), {})
    return found


def words(part: Mapping[str, Any]) -> list[str]:
    """What it runs, as far as the pod says it: the rest is the image's."""
    return [plain(word) for word in (*(part.get("command") or ()), *(part.get("args") or ()))]


def ports(part: Mapping[str, Any]) -> list[Json]:
    """Its ports on the machine: `target`, `protocol`, `published`, `address`."""
    return [
        {
            "target": int(port["containerPort"]),
            "protocol": str(port.get("protocol") or "TCP").lower(),
            "published": int(port["hostPort"]),
            "address": port.get("hostIP") or "0.0.0.0",
        }
        for port in part.get("ports") or ()
        if port.get("hostPort")
    ]


def mounts(pod: Mapping[str, Any], part: Mapping[str, Any], volumes: Mapping[str, tuple[str, str]]) -> list[Json]:
    """`Mounts`, sorted by place, since clients send them in any order.

    `volumes` are (name in Docker, path on the node) of claims by their names.
    """
    sources = {each["name"]: each for each in pod.get("spec", {}).get("volumes") or ()}
    found = []
    for mount in sorted(part.get("volumeMounts") or (), key=lambda each: str(each["mountPath"])):
        source = sources.get(mount["name"]) or {}
        writable = not mount.get("readOnly")
        shown: Json = {"Destination": mount["mountPath"], "Mode": "", "RW": writable, "Propagation": ""}
        if "hostPath" in source:
            shown |= {"Type": "bind", "Source": source["hostPath"]["path"], "Propagation": "rprivate"}
        elif "persistentVolumeClaim" in source:
            name, path = volumes.get(source["persistentVolumeClaim"]["claimName"], ("", ""))
            shown |= {"Type": "volume", "Name": name, "Source": path, "Driver": "local"}
        elif (source.get("emptyDir") or {}).get("medium") == "Memory":
            shown |= {"Type": "tmpfs", "Source": ""}
        elif "emptyDir" in source:
            shown |= {"Type": "volume", "Name": mount["name"], "Source": "", "Driver": "local"}
        else:
            shown |= {"Type": "bind", "Source": ""}
        found.append(shown)
    return found


def network_mode(container: Container, pod: Mapping[str, Any], names: Mapping[str, Json]) -> str:
    if mode := container.request.get("HostConfig", {}).get("NetworkMode"):
        return str(mode) if mode != "default" else networks.BRIDGE
    if pod.get("spec", {}).get("hostNetwork"):
        return networks.HOST
    return next(iter(names), networks.BRIDGE)


def joined(pod: Mapping[str, Any], namespace: str, known_networks: Mapping[str, Json]) -> dict[str, Json]:
    """Its networks as Docker shows them, by name. `known_networks` by their names in the kernel."""
    if pod.get("spec", {}).get("hostNetwork"):
        return {networks.HOST: networks.predefined(networks.HOST)}
    keys = attachments.of(pod.get("metadata", {}).get("annotations"), namespace)
    found = [known_networks[key.name] for key in keys if key.namespace == namespace and key.name in known_networks]
    return {each["Name"]: each for each in found} or {networks.BRIDGE: networks.predefined(networks.BRIDGE)}


def endpoints(joined_networks: Mapping[str, Json], address: str, aliases: Mapping[str, list[str]]) -> dict[str, Json]:
    return {
        name: {
            "IPAMConfig": None,
            "Links": None,
            "Aliases": aliases.get(name) or None,
            "MacAddress": "",
            "DriverOpts": None,
            "GwPriority": 0,
            "NetworkID": network["Id"],
            "EndpointID": "",
            "Gateway": "",
            "IPAddress": "" if name == networks.HOST else address,
            "IPPrefixLen": 32 if address and name != networks.HOST else 0,
            "IPv6Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "DNSNames": None,
        }
        for name, network in joined_networks.items()
    }


def tell_names(found: Json, container: Container) -> None:
    """Say in what `everything` found how a container is found on people's networks: by name, short identifier and aliases.

    Docker has had the short identifier in `DNSNames` alone since API 1.45. Here it is among the aliases for every client: it is
    one, and docker-compose 1 takes a container off its network and puts it there again where it is not.
    """
    if container.template is None:
        return
    for name, endpoint in found["NetworkSettings"]["Networks"].items():
        if name not in (networks.BRIDGE, networks.HOST, networks.NONE):
            endpoint["Aliases"] = [*(endpoint["Aliases"] or ()), container.id[:12]]
            endpoint["DNSNames"] = list(dict.fromkeys((container.name, *endpoint["Aliases"])))


def health(container: Container, now: datetime) -> str:
    """starting, healthy or unhealthy; none without a check."""
    spec, status = container.spec, container.status
    if spec is None or spec.readiness_probe is None:
        return "none"
    if status is not None and status.ready:
        return "healthy"
    view = container.view
    if status is None or status.state.running is None or view is None:
        return "unhealthy" if container.ended else "starting"
    began = objects.seconds(status.state.running.started_at)
    probe = spec.readiness_probe
    failures = int(probe.get("failureThreshold") or _RETRIES) * int(probe.get("periodSeconds") or 10)
    patience = int(probe.get("initialDelaySeconds") or 0) + failures
    ready = view.condition("Ready")
    fell = ready is not None and objects.seconds(ready.last_transition_time) > began + 1
    return "unhealthy" if fell or now.timestamp() - began > patience else "starting"


# --- a line -----------------------------------------------------------------------------------------------------------


def status_text(container: Container, now: datetime) -> str:
    """`Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`."""
    status, ended = container.status, container.ended

    def since(text: str | None) -> str:
        return durations.human(now.timestamp() - objects.seconds(text))

    match container.state:
        case known.RUNNING if status is not None and status.state.running is not None:
            condition = health(container, now)
            shown = {"none": "", "starting": " (health: starting)"}.get(condition, f" ({condition})")
            return f"Up {since(status.state.running.started_at)}{shown}"
        case known.RESTARTING if ended is not None:
            return f"Restarting ({ended.exit_code}) {since(ended.finished_at)} ago"
        case known.EXITED:
            if ended is None:
                return "Dead"
            return f"Exited ({ended.exit_code}) {since(ended.finished_at)} ago"
        case known.REMOVING:
            return "Removal In Progress"
    return "Created"


def line(
    container: Container,
    now: datetime,
    namespace: str,
    known_networks: Mapping[str, Json],
    volumes: Mapping[str, tuple[str, str]],
) -> Json:
    """One of a list."""
    pod = document(container)
    part = part_of(pod, container.part)
    names = joined(pod, namespace, known_networks)
    status, view = container.status, container.view
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image,
        "ImageID": status.image_id if status is not None else "",
        "ImageManifestDescriptor": None,
        "Command": " ".join(words(part)),
        "Created": int(objects.seconds(container.created)),
        "Ports": [
            {"IP": p["address"], "PrivatePort": p["target"], "PublicPort": p["published"], "Type": p["protocol"]}
            for p in ports(part)
        ],
        "Labels": dict(container.labels),
        "State": container.state,
        "Status": status_text(container, now),
        "HostConfig": {"NetworkMode": network_mode(container, pod, names)},
        "NetworkSettings": {"Networks": endpoints(names, view.status.pod_ip if view else "", {})},
        "Mounts": mounts(pod, part, volumes),
    }


# --- everything -------------------------------------------------------------------------------------------------------


def state(container: Container, now: datetime) -> Json:
    """`State` of an inspection."""
    status, ended, view = container.status, container.ended, container.view
    word = container.state
    running = status.state.running if status is not None else None
    waiting = status.state.waiting if status is not None else None
    started = running.started_at if running else ended.started_at if ended else None
    error = waiting.message if waiting else ended.message if ended else ""
    if not error and view is not None and view.status.reason not in ("", "DeadlineExceeded"):
        error = view.status.message
    found: Json = {
        "Status": word,
        "Running": word in (known.RUNNING, known.RESTARTING, known.REMOVING),
        "Paused": False,
        "Restarting": word == known.RESTARTING,
        "OOMKilled": bool(ended and ended.reason == "OOMKilled"),
        "Dead": False,
        "Pid": 0,
        "ExitCode": ended.exit_code if ended and word != known.RUNNING else 0,
        "Error": error,
        "StartedAt": objects.time(started),
        "FinishedAt": objects.time(ended.finished_at if ended else None),
    }
    condition = health(container, now)
    if condition != "none":
        found["Health"] = {"Status": condition, "FailingStreak": 0, "Log": []}
    return found


def everything(
    container: Container,
    now: datetime,
    namespace: str,
    known_networks: Mapping[str, Json],
    volumes: Mapping[str, tuple[str, str]],
) -> Json:
    """The whole of one."""
    pod = document(container)
    part = part_of(pod, container.part)
    status, view = container.status, container.view
    command = words(part)
    names = joined(pod, namespace, known_networks)
    address = view.status.pod_ip if view is not None and container.runs else ""
    request = container.request
    return {
        "Id": container.id,
        "Created": container.created,
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": state(container, now),
        # What was never started has not been looked up yet; its name finds the image as well.
        "Image": (status.image_id if status is not None else "") or container.image,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": "",
        "Name": f"/{container.name}",
        "RestartCount": status.restart_count if status is not None else 0,
        "Driver": _DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config(pod, part, request, network_mode(container, pod, names)),
        "GraphDriver": {"Data": None, "Name": _DRIVER},
        "Mounts": mounts(pod, part, volumes),
        "Config": config(container, pod, part, request),
        "NetworkSettings": {
            "Bridge": "",
            "SandboxID": "",
            "SandboxKey": "",
            "HairpinMode": False,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": None,
            "SecondaryIPv6Addresses": None,
            "EndpointID": "",
            "Gateway": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "IPPrefixLen": 32 if networks.BRIDGE in names and address else 0,
            "IPv6Gateway": "",
            "MacAddress": "",
            "IPAddress": address if networks.BRIDGE in names else "",
            "Ports": bindings(part, request) if container.runs else {},
            "Networks": endpoints(names, address, _aliases(request)),
        },
        **({"Node": {"Name": container.node}} if container.node else {}),
    }


def bindings(part: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, list[Json] | None]:
    """`Ports` as they are bound now; exposed ones without a binding are null."""
    found: dict[str, list[Json] | None] = dict.fromkeys(request.get("ExposedPorts") or ())
    for port in ports(part):
        key = f"{port['target']}/{port['protocol']}"
        bound = found.get(key) or []
        found[key] = [*bound, {"HostIp": port["address"], "HostPort": str(port["published"])}]
    return found


def _aliases(request: Mapping[str, Any]) -> dict[str, list[str]]:
    configs = (request.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    return {name: list((each or {}).get("Aliases") or ()) for name, each in configs.items()}


def config(container: Container, pod: Mapping[str, Any], part: Mapping[str, Any], request: Mapping[str, Any]) -> Json:
    """`Config`: as it was asked for, or what a pod says."""
    asked = {key: value for key, value in request.items() if key not in ("HostConfig", "NetworkingConfig")}
    env = [f"{each['name']}={plain(each.get('value') or '')}" for each in part.get("env") or () if "value" in each]
    meta = pod.get("metadata", {})
    found: Json = {
        "Hostname": pod.get("spec", {}).get("hostname")
        or (meta.get("name") or "" if container.template is None else ""),
        "Domainname": "",
        "User": _user(part),
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": bool(part.get("tty")),
        "OpenStdin": bool(part.get("stdin")),
        "StdinOnce": bool(part.get("stdinOnce")),
        "Env": env,
        "Cmd": [plain(word) for word in part.get("args") or ()] or None,
        "Image": container.image,
        "Volumes": None,
        "WorkingDir": part.get("workingDir") or "",
        "Entrypoint": [plain(word) for word in part.get("command") or ()] or None,
        "OnBuild": None,
        "Labels": dict(container.labels),
    }
    return {**found, **{key: value for key, value in asked.items() if value is not None and key != "Labels"}}


def _user(part: Mapping[str, Any]) -> str:
    security = part.get("securityContext") or {}
    user, group = security.get("runAsUser"), security.get("runAsGroup")
    return "" if user is None else str(user) if group is None else f"{user}:{group}"


_RESTART = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}


def host_config(pod: Mapping[str, Any], part: Mapping[str, Any], request: Mapping[str, Any], mode: str) -> Json:
    """`HostConfig`: as it was asked for, or what a pod says."""
    spec = pod.get("spec", {})
    limits = (part.get("resources") or {}).get("limits") or {}
    security = part.get("securityContext") or {}
    capabilities = security.get("capabilities") or {}
    found: Json = {
        "Binds": None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": mode,
        "PortBindings": {key: value for key, value in bindings(part, {}).items() if value},
        "RestartPolicy": {
            "Name": _RESTART.get(spec.get("restartPolicy") or "Always", "always"),
            "MaximumRetryCount": 0,
        },
        "AutoRemove": False,
        "CapAdd": capabilities.get("add"),
        "CapDrop": capabilities.get("drop"),
        "Privileged": bool(security.get("privileged")),
        "PublishAllPorts": False,
        "ReadonlyRootfs": bool(security.get("readOnlyRootFilesystem")),
        "Memory": quantity.whole(limits["memory"]) if "memory" in limits else 0,
        "NanoCpus": quantity.millis(limits["cpu"]) * 1_000_000 if "cpu" in limits else 0,
        "Runtime": spec.get("runtimeClassName") or "runc",
        "PidMode": "host" if spec.get("hostPID") else "",
        "IpcMode": "host" if spec.get("hostIPC") else "private",
    }
    asked = {key: value for key, value in (request.get("HostConfig") or {}).items() if value is not None}
    # What `docker update` has changed since is in the pod, or in the request as well.
    return {**found, **asked, "NetworkMode": mode}


def by_kernel_name(documents: Iterable[Document]) -> dict[str, Json]:
    """Networks as Docker shows them, by their names in the kernel."""
    return {each.name: networks.translate(each) for each in documents}
