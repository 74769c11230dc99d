"""A service's container, in a pod's words: `TaskTemplate` of a ServiceSpec becomes a PodTemplateSpec.

Pure. The TaskTemplate itself goes with the template, in an annotation: so it is there to be shown, is part of what a version
of the App is, and goes back when the App does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from motet.base import quantity
from motet.dialects.docker import generics, health, logoptions, podvolumes, resolver, users
from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import PLACEHOLDER, Surroundings
from motet.kinds import attachments, imagehealth, podmarks, processes
from motet.kinds.attachments import NetworkKey

Json = dict[str, Any]

# On the pod template: the TaskTemplate it was made of, but for what an App has fields of its own for.
TASK = "docker.motet.dev/task"
_GRACE_SECONDS = 10
_UNREACHABLE = {
    "key": "node.kubernetes.io/unreachable",
    "operator": "Exists",
    "effect": "NoExecute",
    "tolerationSeconds": 0,
}
_NANOSECONDS = 1_000_000_000
_CAPABILITY = "CAP_"


def literal(value: str) -> str:
    """Text that the kernel's own $(NAME) expansion turns back into itself (core/v1 EnvVar.value)."""
    return re.sub(r"\$(?=[$(])", "$$", value)


def plain(value: str) -> str:
    """The inverse of `literal`."""
    return value.replace("$$", "$")


def pod_template(task: Fields, around: Surroundings) -> Json:
    """The PodTemplateSpec of a TaskTemplate, without the annotation `TASK`. Raises DockerError for what cannot be honoured."""
    container = task.fields("ContainerSpec")
    image = container.text("Image")
    if not image:
        raise bad("rpc error: code = InvalidArgument desc = ContainerSpec: image reference must be provided")
    made: Json = {"name": "task", "image": image, "imagePullPolicy": "IfNotPresent"}
    if command := container.texts("Command"):
        made["command"] = [literal(word) for word in command]
    if args := container.texts("Args"):
        made["args"] = [literal(word) for word in args]
    if env := [*environment(container), *generics.environment(task.raw("Resources"))]:
        made["env"] = env
    if folder := container.text("Dir"):
        made["workingDir"] = folder
    for name, member in (("TTY", "tty"), ("OpenStdin", "stdin")):
        if container.truth(name):
            made[member] = True
    annotations: dict[str, str] = {}
    if resources := _resources(task.fields("Resources"), annotations):
        made["resources"] = resources
    if around.host_ports:
        made["ports"] = list(around.host_ports)
    security, of_pod = _security(container, annotations)
    if security:
        made["securityContext"] = security
    check = container.fields("Healthcheck")
    if health.left_to_image(check):
        annotations[imagehealth.ANNOTATION] = f"{made['name']}={imagehealth.LIVE}"
    made.update(health.probes(check))
    spec: Json = {
        "containers": [made],
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS
        if not container.given("StopGracePeriod")
        else -(-container.natural("StopGracePeriod") // _NANOSECONDS),
    }
    if not around.everywhere:
        # What was on a node that is down is begun anew elsewhere, with no patience, as Swarm has it.
        spec["tolerations"] = [_UNREACHABLE]
    if signal := container.text("StopSignal"):
        spec["os"] = {"name": "linux"}
        made["lifecycle"] = {"stopSignal": signal if signal.startswith("SIG") else f"SIG{signal}"}
    if of_pod:
        spec["securityContext"] = of_pod
    annotations |= podvolumes.put(container, made, spec, around)
    hostname = container.text("Hostname")
    if hostname and PLACEHOLDER not in hostname:
        spec["hostname"] = hostname
    _names(container, spec)
    metadata: Json = {"labels": {}, "annotations": {}}
    _networks(task, spec, metadata["annotations"], around)
    annotations |= _resolver(container.fields("DNSConfig"), spec)
    _refused(task, container, annotations)
    if container.truth("Init"):
        # The pod's own first process collects orphans, and signals do by default what they do to any other process.
        spec["shareProcessNamespace"] = True
    if score := container.number("OomScoreAdj"):
        metadata["annotations"][podmarks.OOM_SCORE] = str(score)
    metadata["annotations"] |= annotations
    if problems := podmarks.validate(metadata["annotations"]):
        raise bad(str(problems[0]))
    container.finish()
    return {"metadata": metadata, "spec": spec}


def hostname_template(task: Mapping[str, Any]) -> str:
    """The host name with placeholders; empty when it has none."""
    found = str((task.get("ContainerSpec") or {}).get("Hostname") or "")
    return found if PLACEHOLDER in found else ""


def has_placeholders(task: Mapping[str, Any]) -> bool:
    """Whether anything is to be filled in for each task."""
    container = task.get("ContainerSpec") or {}
    texts = [container.get("Hostname") or "", *(container.get("Env") or ())]
    texts += [str(mount.get(key) or "") for mount in container.get("Mounts") or () for key in ("Source", "Target")]
    return any(PLACEHOLDER in text for text in texts)


def environment(container: Fields) -> Iterator[Json]:
    """The variables in `Env`. Raises DockerError."""
    for entry in container.texts("Env"):
        name, equals, value = entry.partition("=")
        # A name alone takes a variable away that the image sets; pods cannot do that.
        if not equals:
            raise unsupported(container.at("Env"), f"{name} without a value, which would take it away from the image's")
        yield {"name": name, "value": literal(value)}


def _resources(given: Fields, annotations: dict[str, str]) -> Json:
    found: Json = {}
    limits, reservations = given.fields("Limits"), given.fields("Reservations")
    # -1 and 0 are no limit.
    if (pids := limits.number("Pids")) > 0:
        annotations[processes.LIMIT] = str(pids)
    limited, reserved = _amounts(limits), _amounts(reservations)
    for generic in reservations.each("GenericResources"):
        discrete = generic.fields("DiscreteResourceSpec")
        kind, count = discrete.text("Kind"), discrete.number("Value")
        generic.refuse("resources are counted, not named", "NamedResourceSpec")
        name = generics.resource(kind)
        reserved[name] = limited[name] = str(count)
        discrete.finish()
        generic.finish()
    for part in (limits, reservations):
        part.finish()
    given.refuse("it follows from the node's", "SwapBytes", "MemorySwappiness")
    given.finish()
    if limited:
        found["limits"] = limited
        # A limit reserves nothing in Swarm; without a word it would here.
        found["requests"] = {**{key: "0" for key in limited if key in ("cpu", "memory")}, **reserved}
    elif reserved:
        found["requests"] = reserved
    return found


def _amounts(given: Fields) -> dict[str, str]:
    found = {}
    if nano := given.natural("NanoCPUs"):
        found["cpu"] = quantity.format_millis(max(1, -(-nano // 1_000_000)))
    if memory := given.natural("MemoryBytes"):
        found["memory"] = quantity.format_bytes(memory)
    return found


def _security(container: Fields, annotations: dict[str, str]) -> tuple[Json, Json]:
    """(of the container, of the pod); annotations are added."""
    own: Json = {}
    pod: Json = {}
    annotations |= users.read(container, own)
    if groups := container.texts("Groups"):
        if not all(each.isdigit() for each in groups):
            raise unsupported(container.at("Groups"), "only numbers, since the node does not look into images")
        pod["supplementalGroups"] = [int(each) for each in groups]
    if container.truth("ReadOnly"):
        own["readOnlyRootFilesystem"] = True
    capabilities = {
        key: [each.upper().removeprefix(_CAPABILITY) for each in container.texts(name)]
        for key, name in (("add", "CapabilityAdd"), ("drop", "CapabilityDrop"))
        if container.texts(name)
    }
    if capabilities:
        own["capabilities"] = capabilities
    privileges = container.fields("Privileges")
    if privileges.truth("NoNewPrivileges"):
        own["allowPrivilegeEscalation"] = False
    seccomp = privileges.fields("Seccomp")
    mode = seccomp.choice("Mode", ("default", "unconfined", "custom"))
    if mode == "custom":
        raise unsupported(seccomp.at("Mode"), "a profile would have to lie on every node")
    if mode == "unconfined":
        own["seccompProfile"] = {"type": "Unconfined"}
    seccomp.finish()
    app_armor = privileges.fields("AppArmor")
    if app_armor.choice("Mode", ("default", "disabled")) == "disabled":
        own["appArmorProfile"] = {"type": "Unconfined"}
    app_armor.finish()
    privileges.refuse("Windows and SELinux have no part in this", "CredentialSpec", "SELinuxContext")
    privileges.finish()
    if sysctls := container.map("Sysctls"):
        pod["sysctls"] = [{"name": key, "value": value} for key, value in sorted(sysctls.items())]
    return own, pod


def _names(container: Fields, spec: Json) -> None:
    aliases = []
    for entry in container.texts("Hosts"):
        address, *hostnames = entry.split()
        if not hostnames:
            raise bad(f"{container.at('Hosts')}: {entry!r} is not ADDRESS NAME...")
        aliases.append({"ip": address, "hostnames": hostnames})
    if aliases:
        spec["hostAliases"] = aliases


def _resolver(dns: Fields, spec: Json) -> dict[str, str]:
    found = resolver.put(spec, dns.texts("Nameservers"), dns.texts("Search"), dns.texts("Options"))
    dns.finish()
    return found


def _networks(task: Fields, spec: Json, annotations: Json, around: Surroundings) -> None:
    joined: dict[NetworkKey, tuple[str, ...]] = {}
    for network in task.each("Networks"):
        target = network.text("Target")
        aliases = network.texts("Aliases")
        network.refuse("it applies to no network of Motet's", "DriverOpts")
        network.finish()
        if target in around.host_network:
            spec["hostNetwork"] = True
            spec["dnsPolicy"] = "ClusterFirstWithHostNet"
        elif target in around.no_network:
            raise unsupported(network.at("Target"), f"{target}: give the service an internal network instead")
        else:
            joined[NetworkKey(around.namespace, around.networks[target])] = tuple(
                dict.fromkeys(alias.lower() for alias in aliases)
            )
    if spec.get("hostNetwork") and joined:
        raise bad("a service is either on the host's network or on others")
    if joined:
        annotations[attachments.ANNOTATION] = attachments.text(dict.fromkeys(joined, ()), around.namespace)


def aliases(task: Mapping[str, Any], around: Surroundings, names_of_service: tuple[str, ...]) -> str:
    """The annotation by which a Service is known on its task's networks."""
    found: dict[NetworkKey, tuple[str, ...]] = {}
    for network in task.get("Networks") or ():
        target = network.get("Target") or ""
        if target in around.networks:
            own = (*names_of_service, *(alias.lower() for alias in network.get("Aliases") or ()))
            found[NetworkKey(around.namespace, around.networks[target])] = tuple(dict.fromkeys(own))
    return attachments.text(found, around.namespace) if found else ""


def _refused(task: Fields, container: Fields, annotations: dict[str, str]) -> None:
    """Members that stand for something pods have not got."""
    task.refuse("plugins are no services here", "PluginSpec", "NetworkAttachmentSpec")
    if (runtime := task.text("Runtime", "container")) != "container":
        raise unsupported(task.at("Runtime"), runtime)
    log = task.fields("LogDriver")
    if (driver := log.text("Name", "json-file")) not in logoptions.DRIVERS:
        raise unsupported(log.at("Name"), f"{driver}: logs are files on the node, which `docker service logs` reads")
    try:
        annotations |= logoptions.marks(log.map("Options"))
    except ValueError as error:
        raise unsupported(log.at("Options"), str(error)) from error
    log.finish()
    if container.choice("Isolation", ("default", "process", "hyperv"), "default") != "default":
        raise unsupported(container.at("Isolation"), "it is Windows'")
    # They are kept with the whole TaskTemplate.
    container.map("Labels")
    container.refuse("the node's container runtime is not told of any; containers have the node's", "Ulimits")


def shown(template: Mapping[str, Any], task: Mapping[str, Any]) -> Json:
    """The ContainerSpec to show: `task`'s, with what the pod template says now, whoever has changed it."""
    containers = (template.get("spec") or {}).get("containers") or [{}]
    container = containers[0]
    spec = dict(task.get("ContainerSpec") or {})
    spec["Image"] = container.get("image", "")
    for name, member in (("Command", "command"), ("Args", "args")):
        words = [plain(word) for word in container.get(member) or ()]
        if words:
            spec[name] = words
        else:
            spec.pop(name, None)
    given = {each["name"] for each in generics.environment(task.get("Resources"))}
    env = [
        f"{each['name']}={plain(each.get('value') or '')}"
        for each in container.get("env") or ()
        if "valueFrom" not in each and each["name"] not in given
    ]
    if env:
        spec["Env"] = env
    else:
        spec.pop("Env", None)
    spec.setdefault("Isolation", "default")
    return spec
