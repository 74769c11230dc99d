"""A Compose project in the kernel's words: pure, one document after the other in the order they are to be created.

The project is a namespace, and its networks are Networks there. A service becomes an App, a headless Service that gives it its
name and aliases on those (any port of a peer can be reached, as Compose has it), and, if it publishes ports, a second
Service that every node answers for. Named volumes become claims, secrets and configs their namesakes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from motet.base import quantity
from motet.cli.compose.model import (
    FileReference,
    FileSource,
    HealthCheck,
    Joined,
    Mount,
    Network,
    Project,
    PublishedPort,
    Service,
)
from motet.cli.compose.model import Resources as Amounts
from motet.cli.compose.networks import DEFAULT
from motet.cli.compose.networks import object_name as network_object_name
from motet.kinds import attachments
from motet.kinds.attachments import ANNOTATION, Attachments, NetworkKey
from motet.kinds.network import EVERY_NAMESPACE

Json = dict[str, Any]

PROJECT = "motet.dev/project"
SERVICE = "motet.dev/service"
DEPENDS = "motet.dev/depends-on"
CONTENT = "motet.dev/content"
# What Compose calls a Network, and how other files name it (`external`).
NETWORK_NAME = "motet.dev/network-name"

# The Networks of the cluster by their keys in the file.
Externals = Mapping[str, NetworkKey]

_RESTART = {"any": "Always", "on-failure": "OnFailure", "none": "Never"}
_GRACE_SECONDS = 10
_VOLUME_SIZE = "1Gi"
_PUBLISHED, _PUBLISHED_ANY = "published", "published-any"
# While starting, a health check runs this often, so that nobody waits for the first interval to pass.
_START_INTERVAL = 1
# An unhealthy container is not restarted (Compose leaves it alone).
_FOREVER = 2**31 - 1


def documents(project: Project, images: Mapping[str, str], externals: Externals | None = None) -> list[Json]:
    """Everything the project is made of. `images` names the image of every service that is built, `externals` the Networks
    of others."""
    known = _networks_of(project, externals or {})
    return [
        _named("v1", "Namespace", project, project.name, namespaced=False),
        *(_network(project, network) for network in project.networks if _is_made(project, network)),
        *(_secret(project, item) for item in project.secrets),
        *(_config(project, item) for item in project.configs),
        *(_claim(project, name) for name in project.volumes),
        *(document for service in project.services for document in _services(project, service, known)),
        *(app(project, service, images.get(service.name, service.image), known) for service in project.services),
    ]


def object_name(name: str) -> str:
    """Compose names may have underscores and capitals, the kernel's may not."""
    return name.replace("_", "-").lower()


def service_names_of(service: Service) -> list[str]:
    """The names of all Service documents that a service becomes."""
    found = [object_name(service.name)]
    published = [port for port in service.ports if not port.host]
    if any(port.published for port in published):
        found.append(object_name(f"{service.name}-{_PUBLISHED}"))
    if any(not port.published for port in published):
        found.append(object_name(f"{service.name}-{_PUBLISHED_ANY}"))
    return found


def literal(value: str) -> str:
    """Text that the kernel's own $(NAME) expansion turns back into itself (core/v1 EnvVar.value)."""
    return re.sub(r"\$(?=[$(])", "$$", value)


def _named(api_version: str, kind: str, project: Project, name: str, *, namespaced: bool = True) -> Json:
    metadata: Json = {"name": object_name(name), "labels": {PROJECT: project.name}}
    if namespaced:
        metadata["namespace"] = project.name
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _secret(project: Project, source: FileSource) -> Json:
    document = _named("v1", "Secret", project, f"secret-{source.name}")
    return {**document, "type": "Opaque", "data": {"content": base64.b64encode(source.content).decode()}}


def _config(project: Project, source: FileSource) -> Json:
    document = _named("v1", "ConfigMap", project, f"config-{source.name}")
    return {**document, "binaryData": {"content": base64.b64encode(source.content).decode()}}


def _claim(project: Project, name: str) -> Json:
    document = _named("v1", "PersistentVolumeClaim", project, name)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _VOLUME_SIZE}}}
    return {**document, "spec": spec}


def _is_made(project: Project, network: Network) -> bool:
    """All that the file names are, and the project's own if anybody is on it."""
    used = any(not service.networks for service in project.services)
    used |= any(each.network == DEFAULT for service in project.services for each in service.networks)
    return not network.external and (network.key != DEFAULT or network.line > 0 or used)


def _network(project: Project, network: Network) -> Json:
    document = _named("motet.dev/v1", "Network", project, network_object_name(network, project.name))
    document["metadata"]["annotations"] = {NETWORK_NAME: network.name}
    spec: Json = {
        "internal": network.internal,
        "attachable": network.attachable,
        "encrypted": network.encrypted,
    }
    if network.attachable:
        spec["namespaces"] = [EVERY_NAMESPACE]
    return {**document, "spec": spec}


def _networks_of(project: Project, externals: Externals) -> Externals:
    own = {
        network.key: NetworkKey(project.name, network_object_name(network, project.name))
        for network in project.networks
    }
    return {**own, **externals}


def _attachments(service: Service, known: Externals, *, aliases: bool) -> Attachments:
    """Where a service is, with its name as the file has it among its aliases where no object may be called so."""
    literal_name = service.name.lower()
    own = () if literal_name == object_name(service.name) else (literal_name,)
    return {
        known[each.network]: tuple(dict.fromkeys((*own, *each.aliases))) if aliases else ()
        for each in service.networks or (Joined(DEFAULT),)
    }


def _services(project: Project, service: Service, known: Externals) -> Iterator[Json]:
    selector = {PROJECT: project.name, SERVICE: object_name(service.name)}
    document = _named("v1", "Service", project, service.name)
    document["metadata"]["labels"][SERVICE] = object_name(service.name)
    named = attachments.text(_attachments(service, known, aliases=True), project.name)
    document["metadata"]["annotations"] = {ANNOTATION: named}
    yield {**document, "spec": {"clusterIP": "None", "selector": selector, **_known_ports(service)}}
    published = [port for port in service.ports if not port.host]
    for kind, ports in (
        ("LoadBalancer", [port for port in published if port.published]),
        ("NodePort", [port for port in published if not port.published]),
    ):
        if ports:
            suffix = _PUBLISHED if kind == "LoadBalancer" else _PUBLISHED_ANY
            document = _named("v1", "Service", project, f"{service.name}-{suffix}")
            document["metadata"]["labels"][SERVICE] = object_name(service.name)
            spec: Json = {"type": kind, "selector": selector, "ports": [_port(port) for port in ports]}
            if kind == "LoadBalancer":
                spec["allocateLoadBalancerNodePorts"] = False
            yield {**document, "spec": spec}


def _known_ports(service: Service) -> Json:
    """Ports the file mentions, for SRV records; a headless service needs none."""
    numbers = dict.fromkeys((*service.expose, *((port.target, port.protocol) for port in service.ports)))
    ports = [
        {"name": f"{protocol.lower()}-{number}", "port": number, "protocol": protocol} for number, protocol in numbers
    ]
    return {"ports": ports} if ports else {}


def _port(port: PublishedPort) -> Json:
    number = port.published or port.target
    return {
        "name": f"{port.protocol.lower()}-{number}",
        "port": number,
        "targetPort": port.target,
        "protocol": port.protocol,
    }


def app(project: Project, service: Service, image: str, known: Externals) -> Json:
    """The App of one service, running `image`."""
    document = _named("motet.dev/v1", "App", project, service.name)
    labels = {PROJECT: project.name, SERVICE: object_name(service.name)}
    document["metadata"]["labels"].update(labels)
    if service.depends_on:
        document["metadata"]["annotations"] = {
            DEPENDS: ",".join(f"{object_name(other)}={condition}" for other, condition in service.depends_on)
        }
    mode: Json = {"global": {}} if service.everywhere else {"replicated": {"replicas": service.replicas}}
    annotations = dict(service.labels)
    if content := _content(project, service):
        annotations[CONTENT] = content
    annotations[ANNOTATION] = attachments.text(_attachments(service, known, aliases=False), project.name)
    template: Json = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": _pod(project, service, image),
    }
    # Whoever typed `motet up` waits and judges; what crashes while it looks for another service is not held back.
    update = {"failureAction": "continue"}
    return {**document, "spec": {"mode": mode, "update": update, "template": template}}


def _content(project: Project, service: Service) -> str:
    """A digest of the files the service mounts, so that an edit of one rolls the service."""
    used = [item for item in project.secrets if item.name in {use.source for use in service.secrets}]
    used += [item for item in project.configs if item.name in {use.source for use in service.configs}]
    if not used:
        return ""
    digest = hashlib.sha256()
    for item in used:
        digest.update(item.name.encode() + b"\0" + hashlib.sha256(item.content).digest())
    return digest.hexdigest()[:16]


def _pod(project: Project, service: Service, image: str) -> Json:
    volumes: list[Json] = []
    mounts: list[Json] = []
    for index, mount in enumerate(service.mounts):
        name = f"mount-{index}"
        volumes.append({"name": name, **_volume(mount)})
        mounts.append(_mounted(name, mount.target, read_only=mount.read_only, subpath=mount.subpath))
    for key, uses in (("secret", service.secrets), ("config", service.configs)):
        for index, use in enumerate(uses):
            name = f"{key}-{index}"
            volumes.append({"name": name, **_file_volume(key, use)})
            mounts.append(_mounted(name, use.target, read_only=True, subpath="content"))
    container: Json = {"name": object_name(service.name), "image": image, "imagePullPolicy": "IfNotPresent"}
    container.update(_process(service))
    if mounts:
        container["volumeMounts"] = mounts
    spec: Json = {
        "containers": [container],
        "restartPolicy": _restart(project, service),
        "terminationGracePeriodSeconds": _GRACE_SECONDS if service.stop_grace is None else service.stop_grace,
        "enableServiceLinks": False,
        # Nothing in a Compose file speaks to the cluster.
        "automountServiceAccountToken": False,
    }
    if volumes:
        spec["volumes"] = volumes
    if service.hostname:
        spec["hostname"] = service.hostname
    if service.extra_hosts:
        spec["hostAliases"] = [{"ip": address, "hostnames": [name]} for name, address in service.extra_hosts]
    return spec


def _process(service: Service) -> Json:
    """The container's own fields."""
    fields: Json = {}
    if service.entrypoint is not None:
        fields["command"] = [literal(word) for word in service.entrypoint]
    if service.command is not None:
        fields["args"] = [literal(word) for word in service.command]
    if service.environment:
        fields["env"] = [{"name": name, "value": literal(value)} for name, value in service.environment]
    if service.working_dir:
        fields["workingDir"] = service.working_dir
    if host_ports := [port for port in service.ports if port.host]:
        fields["ports"] = [_host_port(port) for port in host_ports]
    if service.health is not None and service.health.command:
        fields["readinessProbe"] = _probe(service.health)
        fields["startupProbe"] = _startup(service.health)
    resources = {
        key: amounts
        for key, given in (("limits", service.limits), ("requests", service.reservations))
        if (amounts := _amounts(given))
    }
    if resources:
        fields["resources"] = resources
    if security := _security(service):
        fields["securityContext"] = security
    return fields


def _restart(project: Project, service: Service) -> str:
    """What the file says; else again after every end, except for a service whose successful end others wait for."""
    if service.restart:
        return _RESTART[service.restart]
    awaited = any((service.name, "completed") in other.depends_on for other in project.services)
    return "OnFailure" if awaited else "Always"


def _volume(mount: Mount) -> Json:
    if mount.kind == "bind":
        return {"hostPath": {"path": mount.source, "type": ""}}
    if mount.kind == "volume" and mount.source:
        return {"persistentVolumeClaim": {"claimName": object_name(mount.source)}}
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


def _security(service: Service) -> Json:
    security: Json = {}
    if service.privileged:
        security["privileged"] = True
    if service.read_only:
        security["readOnlyRootFilesystem"] = True
    if service.cap_add or service.cap_drop:
        security["capabilities"] = {"add": list(service.cap_add), "drop": list(service.cap_drop)}
    if service.user:
        user, _, group = service.user.partition(":")
        security["runAsUser"] = int(user)
        if group:
            security["runAsGroup"] = int(group)
    return security
