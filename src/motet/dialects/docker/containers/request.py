"""What `docker run` asks for, as the PodTemplate its runs are made of. Pure.

`Config` and `HostConfig` are read field by field; what a pod cannot do is refused by the field's path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.base import names, quantity
from motet.dialects.docker import containerspec, health, logoptions, objects, resolver, users
from motet.dialects.docker.containers import known, mounts, ports
from motet.dialects.docker.containerspec import literal
from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import attachments, podmarks, processes
from motet.kinds import podtemplate as template_kind
from motet.kinds.attachments import NetworkKey

Json = dict[str, Any]

_GRACE_SECONDS = 10
_RESTART = {"": "Never", "no": "Never", "always": "Always", "unless-stopped": "Always", "on-failure": "OnFailure"}
# Where and for how long a pod stays: on its node, whatever becomes of that.
_TOLERATIONS = [{"operator": "Exists"}]
_LITTLE = "1m"
_CAPABILITY = "CAP_"
# What runs a check that is one text, as long as an image says nothing else.
_SHELL = ["/bin/sh", "-c"]
# Names of the runtime that every container has anyway.
_RUNC = ("runc", "io.containerd.runc.v2")


@dataclass(frozen=True, slots=True)
class Made:
    """The PodTemplate to be, and the names that the container is to have on its networks."""

    document: Json
    networks: Mapping[NetworkKey, tuple[str, ...]]


def image_of(body: Fields) -> str:
    """Raises DockerError when none is named."""
    image = body.text("Image")
    if not image:
        raise bad("no command specified" if body.raw("Cmd") is None else "Config.Image: it is needed")
    return image


def template(name: str, body: Fields, around: Surroundings, node: str) -> Made:
    """The PodTemplate of a request. `node` is where it is to run, empty for anywhere. Raises DockerError."""
    host = body.fields("HostConfig")
    labels = body.map("Labels")
    part: Json = {"name": known.PART, "image": image_of(body), "imagePullPolicy": "IfNotPresent"}
    spec: Json = {
        "containers": [part],
        "restartPolicy": restart(host.fields("RestartPolicy"), auto_remove=host.truth("AutoRemove")),
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": body.natural("StopTimeout", _GRACE_SECONDS)
        if body.raw("StopTimeout") is not None or not body.given("StopTimeout")
        else 0,
        "tolerations": _TOLERATIONS,
    }
    if node:
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    _process(body, part, spec)
    part["resources"] = resources_of(host)
    marks = _security(body, host, part, spec)
    _surroundings(body, host, spec)
    mounts.add(body, host, part, spec, around)
    if published := list(ports.fixed(host)):
        part["ports"] = published
    if runtime := _runtime(host):
        spec["runtimeClassName"] = runtime
    networks = _networks(body, host, spec, around)
    marks |= resolver.put(spec, host.texts("Dns"), host.texts("DnsSearch"), host.texts("DnsOptions"))
    if host.truth("Init"):
        # The pod's own first process collects orphans, and signals do by default what they do to any other process.
        spec["shareProcessNamespace"] = True
    annotations = {**_marks(host), **marks}
    if problems := podmarks.validate(annotations):
        raise bad(str(problems[0]))
    _refused(body, host)
    body.finish()
    host.finish()
    if networks:
        annotations[attachments.ANNOTATION] = attachments.text(dict.fromkeys(networks, ()), around.namespace)
    metadata = objects.metadata(name, labels, around.namespace, "container")
    metadata["labels"] = {**metadata.get("labels", {}), known.LABEL: metadata["name"]}
    metadata["annotations"] |= {known.REQUEST: msgspec.json.encode(body.items).decode()}
    if node:
        metadata["annotations"][known.NODE] = node
    if host.truth("AutoRemove"):
        metadata["annotations"][known.REMOVE] = "true"
    document = {
        "apiVersion": template_kind.KIND.api_version,
        "kind": template_kind.KIND.kind,
        "metadata": metadata,
        "template": {"metadata": {"labels": {}, "annotations": annotations}, "spec": spec},
    }
    return Made(document, networks)


def _marks(host: Fields) -> dict[str, str]:
    """What a pod has no field for."""
    found: dict[str, str] = {}
    if (pids := host.number("PidsLimit")) > 0:
        found[processes.LIMIT] = str(pids)
    if score := host.number("OomScoreAdj"):
        found[podmarks.OOM_SCORE] = str(score)
    log = host.fields("LogConfig")
    if (driver := log.text("Type", logoptions.DRIVERS[0])) not in logoptions.DRIVERS:
        raise unsupported(log.at("Type"), f"{driver}: logs are files on the node, which `docker logs` reads")
    try:
        found |= logoptions.marks(log.map("Config"))
    except ValueError as error:
        raise unsupported(log.at("Config"), str(error)) from error
    log.finish()
    return found


def restart(policy: Fields, *, auto_remove: bool = False) -> str:
    """A pod's restart policy. Raises DockerError."""
    name = policy.choice("Name", _RESTART)
    policy.refuse("a pod is started again without end; a service can have an end of attempts", "MaximumRetryCount")
    policy.finish()
    if auto_remove and _RESTART[name] != "Never":
        raise bad("can't create 'AutoRemove' container with restart policy")
    return _RESTART[name]


def _strings(fields: Fields, name: str) -> list[str]:
    """A list of words, or one word as older clients send it."""
    value = fields.raw(name)
    return [value] if isinstance(value, str) else fields.texts(name)


def _process(body: Fields, part: Json, spec: Json) -> None:
    command = _strings(body, "Entrypoint")
    args = _strings(body, "Cmd")
    if command == [""]:
        # Nobody's entry point: what is run is the command alone.
        command, args = args, []
        if not command:
            raise bad("no command specified")
    if command:
        part["command"] = [literal(word) for word in command]
    if args:
        part["args"] = [literal(word) for word in args]
    if env := list(containerspec.environment(body)):
        part["env"] = env
    if folder := body.text("WorkingDir"):
        if not folder.startswith("/"):
            raise bad(f"the working directory '{folder}' is invalid, it needs to be an absolute path")
        part["workingDir"] = folder
    tty, stdin = body.truth("Tty"), body.truth("OpenStdin")
    if tty:
        part["tty"] = True
    if stdin:
        part["stdin"] = True
    # At a terminal the end of input is a key, and who leaves it may come back.
    if body.truth("StdinOnce") and stdin and not tty:
        part["stdinOnce"] = True
    if signal := body.text("StopSignal"):
        spec["os"] = {"name": "linux"}
        part["lifecycle"] = {"stopSignal": signal if signal.startswith("SIG") else f"SIG{signal}"}
    # A check says how a container is; only services are given a new one when it fails.
    check = health.probes(body.fields("Healthcheck"))
    if "readinessProbe" in check:
        part["readinessProbe"] = check["readinessProbe"]


def resources_of(host: Fields) -> Json:
    """Limits, which reserve nothing, and reservations. Raises DockerError.

    Every container reserves a little, for only pods that do can be given limits later.
    """
    limits: Json = {}
    requests: Json = {"cpu": _LITTLE}
    if memory := host.natural("Memory"):
        limits["memory"] = quantity.format_bytes(memory)
        requests["memory"] = "0"
    swap = host.number("MemorySwap")
    if swap not in (0, memory):
        raise unsupported(host.at("MemorySwap"), "it follows from the node's")
    if reserved := host.natural("MemoryReservation"):
        requests["memory"] = quantity.format_bytes(reserved)
    nano = host.natural("NanoCpus")
    quota, period = host.natural("CpuQuota"), host.natural("CpuPeriod", 100_000)
    if nano and (quota or host.raw("CpuPeriod")):
        raise bad("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    if cores := nano or quota * 1_000_000_000 // period:
        limits["cpu"] = quantity.format_millis(max(1, -(-cores // 1_000_000)))
    host.refuse("weights are what is reserved here; --cpus limits", "CpuShares")
    return {"limits": limits, "requests": requests}


def _number(fields: Fields, name: str, text: str) -> int:
    if not text.isdigit():
        raise unsupported(fields.at(name), f"{text!r}: only numbers, since the node does not look into images")
    return int(text)


def _security(body: Fields, host: Fields, part: Json, spec: Json) -> dict[str, str]:
    """Puts it into the container and the pod; the annotations that the pod needs."""
    own: Json = {}
    pod: Json = {}
    marks = users.read(body, own)
    if groups := host.texts("GroupAdd"):
        pod["supplementalGroups"] = [_number(host, "GroupAdd", each) for each in groups]
    if host.truth("ReadonlyRootfs"):
        own["readOnlyRootFilesystem"] = True
    if host.truth("Privileged"):
        own["privileged"] = True
    capabilities = {
        key: [each.upper().removeprefix(_CAPABILITY) for each in _strings(host, name)]
        for key, name in (("add", "CapAdd"), ("drop", "CapDrop"))
        if _strings(host, name)
    }
    if capabilities:
        own["capabilities"] = capabilities
    for option in host.texts("SecurityOpt"):
        match option.replace(":", "=", 1).split("=", 1):
            case ["no-new-privileges"] | ["no-new-privileges", "true"]:
                own["allowPrivilegeEscalation"] = False
            case ["no-new-privileges", "false"]:
                pass
            case ["seccomp", "unconfined"]:
                own["seccompProfile"] = {"type": "Unconfined"}
            case ["apparmor", "unconfined"]:
                own["appArmorProfile"] = {"type": "Unconfined"}
            case ["apparmor", profile] if profile:
                own["appArmorProfile"] = {"type": "Localhost", "localhostProfile": profile}
            case _:
                raise unsupported(f"{host.at('SecurityOpt')} {option!r}")
    if sysctls := host.map("Sysctls"):
        pod["sysctls"] = [{"name": key, "value": value} for key, value in sorted(sysctls.items())]
    if own:
        part["securityContext"] = own
    if pod:
        spec["securityContext"] = pod
    return marks


def _surroundings(body: Fields, host: Fields, spec: Json) -> None:
    """Names, and namespaces shared with the machine."""
    if hostname := body.text("Hostname"):
        if problem := names.label_error(hostname.lower()):
            raise bad(f"Hostname: {hostname!r}: {problem}")
        spec["hostname"] = hostname.lower()
    body.refuse("give the whole name with --hostname, or dns search domains", "Domainname")
    aliases = []
    for entry in host.texts("ExtraHosts"):
        name, _, address = entry.replace("=", ":", 1).partition(":")
        if not name or not address:
            raise bad(f"{host.at('ExtraHosts')}: {entry!r} is not NAME:ADDRESS")
        if address == "host-gateway":
            raise unsupported(host.at("ExtraHosts"), "host-gateway; name the machine's address")
        aliases.append({"ip": address.strip("[]"), "hostnames": [name]})
    if aliases:
        spec["hostAliases"] = aliases
    if host.choice("PidMode", ("host",)) == "host":
        spec["hostPID"] = True
    if host.choice("IpcMode", ("host", "private", "shareable")) == "host":
        spec["hostIPC"] = True


def _runtime(host: Fields) -> str:
    """A RuntimeClass of the cluster; the usual runtime has none. Raises DockerError."""
    name = host.text("Runtime")
    if name in ("", *_RUNC):
        return ""
    if problem := names.subdomain_error(name):
        raise bad(f"{host.at('Runtime')}: {name!r}: {problem}")
    return name


def _networks(body: Fields, host: Fields, spec: Json, around: Surroundings) -> dict[NetworkKey, tuple[str, ...]]:
    """What it is on, and what it is called there."""
    mode = host.text("NetworkMode") or "default"
    networking = body.fields("NetworkingConfig")
    configs = networking.fields("EndpointsConfig")
    networking.finish()
    wanted = {each: configs.fields(each) for each in configs.items}
    if mode.startswith("container:"):
        raise unsupported(host.at("NetworkMode"), f"{mode}: containers that share a network are a pod")
    if mode not in ("default", "bridge") and mode not in wanted:
        wanted = {mode: Fields({}, configs.at(mode)), **wanted}
    found: dict[NetworkKey, tuple[str, ...]] = {}
    for name, config in wanted.items():
        aliases = config.texts("Aliases")
        config.refuse("addresses are given out by Motet", "IPAMConfig", "MacAddress", "IPAddress", "GlobalIPv6Address")
        config.refuse("it applies to no network of Motet's", "DriverOpts", "Links", "GwPriority")
        config.ignore("NetworkID", "EndpointID", "Gateway", "IPPrefixLen", "IPv6Gateway", "DNSNames")
        config.finish()
        if name in around.host_network:
            spec["hostNetwork"] = True
            spec["dnsPolicy"] = "ClusterFirstWithHostNet"
        elif name in around.no_network:
            raise unsupported(host.at("NetworkMode"), "none: give the container an internal network instead")
        elif name in around.networks:
            key = NetworkKey(around.namespace, around.networks[name])
            found[key] = tuple(dict.fromkeys(alias.lower() for alias in aliases))
        elif name not in ("default", "bridge"):
            raise bad(f"network {name} not found")
    if spec.get("hostNetwork") and found:
        raise bad("conflicting options: host type networking can't be used with links or other networks")
    return found


def _refused(body: Fields, host: Fields) -> None:
    """Members that stand for something pods have not got, and those that say nothing to a daemon."""
    # What the client itself wants, ports that an image only documents, and what the image was built with.
    body.ignore("AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "ArgsEscaped", "OnBuild")
    check = body.fields("Healthcheck").texts("Test")
    if body.texts("Shell") not in ([], _SHELL) and check[:1] == ["CMD-SHELL"]:
        raise unsupported(body.at("Shell"), "checks are run by /bin/sh -c; name another shell in one of the form CMD")
    body.refuse("give the container an internal network instead", "NetworkDisabled")
    host.ignore("ConsoleSize", "ContainerIDFile")
    if (driver := host.text("VolumeDriver", "local")) != "local":
        raise unsupported(host.at("VolumeDriver"), f"{driver}: volumes are local ones")
    _system_paths(host)
    # Ports without a number are found at each start (`starting`).
    host.truth("PublishAllPorts")
    host.choice("UsernsMode", ("host",))
    if host.choice("Isolation", ("default", "process", "hyperv"), "default") != "default":
        raise unsupported(host.at("Isolation"), "it is Windows'")
    if host.number("MemorySwappiness", -1) != -1:
        raise unsupported(host.at("MemorySwappiness"), "it follows from the node's")
    host.refuse("the node's container runtime is not told of any; containers have the node's", "Ulimits")
    host.refuse("devices that nodes count are a service's generic resources", "DeviceRequests")
    host.refuse("containers find each other by name on a network", "Links")


def _system_paths(host: Fields) -> None:
    """Which paths below /proc and /sys are hidden or read-only. An empty list asks for none, and is no zero value here."""
    for name in ("MaskedPaths", "ReadonlyPaths"):
        if host.given(name) and not (host.truth("Privileged") and host.raw(name) is None):
            raise unsupported(host.at(name), "the container runtime's own list holds; with --privileged there is none")
