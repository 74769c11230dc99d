"""A Compose project in the kernel's words: pure, one document after the other in the order they are to be created.

The project is a namespace, and its networks are Networks there. A service becomes an App, a headless Service that gives it its
name and aliases on those (any port of a peer can be reached, as Compose has it), and, if it publishes ports, a second
Service that every node answers for. Named volumes become claims, secrets and configs their namesakes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from motet.cli.compose import pod, rollout
from motet.cli.compose.model import FileSource, Joined, Network, Project, PublishedPort, Service, Volume
from motet.cli.compose.networks import DEFAULT
from motet.cli.compose.networks import object_name as network_object_name
from motet.cli.compose.pod import literal
from motet.cli.compose.rollout import object_name
from motet.kinds import attachments, placeholders
from motet.kinds.attachments import ANNOTATION, Attachments, NetworkKey
from motet.kinds.network import EVERY_NAMESPACE
from motet.kinds.service import EVERY_PORT

__all__ = ["documents", "literal", "object_name"]

Json = dict[str, Any]

PROJECT = "motet.dev/project"
SERVICE = "motet.dev/service"
CONTENT = "motet.dev/content"
# A digest of the pods of other services that these are replaced with.
FOLLOWS = "motet.dev/follows"
# What Compose calls a Network, and how other files name it (`external`).
NETWORK_NAME = "motet.dev/network-name"

# The Networks of the cluster by their keys in the file.
Externals = Mapping[str, NetworkKey]

_VOLUME_SIZE = "1Gi"
_PUBLISHED, _PUBLISHED_ANY = "published", "published-any"


def documents(project: Project, images: Mapping[str, str], externals: Externals | None = None) -> list[Json]:
    """Everything the project is made of. `images` names the image of every service that is built, `externals` the Networks
    of others."""
    known = _networks_of(project, externals or {})
    apps = {
        service.name: app(project, service, images.get(service.name, service.image), known)
        for service in project.services
    }
    for service in project.services:
        _follow(apps, service)
    return [
        _named("v1", "Namespace", project, project.name, namespaced=False),
        *(_network(project, network) for network in project.networks if _is_made(project, network)),
        *(_secret(project, item) for item in project.secrets),
        *(_config(project, item) for item in project.configs),
        *(_claim(project, volume) for volume in project.volumes if not volume.external and not volume.path),
        *(document for service in project.services for document in _services(project, service, known)),
        *apps.values(),
    ]


def service_names_of(service: Service) -> list[str]:
    """The names of all Service documents that a service becomes."""
    found = [object_name(service.name)]
    published = [port for port in service.ports if not port.host]
    if any(port.published for port in published):
        found.append(object_name(f"{service.name}-{_PUBLISHED}"))
    if any(not port.published for port in published):
        found.append(object_name(f"{service.name}-{_PUBLISHED_ANY}"))
    return found


def _named(api_version: str, kind: str, project: Project, name: str, *, namespaced: bool = True) -> Json:
    metadata: Json = {"name": object_name(name), "labels": {PROJECT: project.name}}
    if namespaced:
        metadata["namespace"] = project.name
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _labelled(document: Json, labels: tuple[tuple[str, str], ...]) -> Json:
    """Compose's labels are annotations: their values have no form."""
    if labels:
        document["metadata"].setdefault("annotations", {}).update(labels)
    return document


def _secret(project: Project, source: FileSource) -> Json:
    document = _labelled(_named("v1", "Secret", project, f"secret-{source.name}"), source.labels)
    return {**document, "type": "Opaque", "data": {"content": base64.b64encode(source.content).decode()}}


def _config(project: Project, source: FileSource) -> Json:
    document = _labelled(_named("v1", "ConfigMap", project, f"config-{source.name}"), source.labels)
    return {**document, "binaryData": {"content": base64.b64encode(source.content).decode()}}


def _claim(project: Project, volume: Volume) -> Json:
    document = _labelled(_named("v1", "PersistentVolumeClaim", project, volume.name), volume.labels)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _VOLUME_SIZE}}}
    return {**document, "spec": spec}


def _is_made(project: Project, network: Network) -> bool:
    """All that the file names are, and the project's own if anybody is on it."""
    used = any(not service.networks and "network" not in service.of_node for service in project.services)
    used |= any(each.network == DEFAULT for service in project.services for each in service.networks)
    return not network.external and (network.key != DEFAULT or network.line > 0 or used)


def _network(project: Project, network: Network) -> Json:
    document = _named("motet.dev/v1", "Network", project, network_object_name(network, project.name))
    _labelled(document, (*network.labels, (NETWORK_NAME, network.name)))
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
    if "network" not in service.of_node:
        named = attachments.text(_attachments(service, known, aliases=True), project.name)
        document["metadata"]["annotations"] = {ANNOTATION: named}
    if service.virtual:
        document["metadata"].setdefault("annotations", {})[EVERY_PORT] = "true"
    address: Json = {} if service.virtual else {"clusterIP": "None"}
    yield {**document, "spec": {**address, "selector": selector, **_known_ports(service)}}
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
    made: Json = {
        "name": f"{port.protocol.lower()}-{number}",
        "port": number,
        "targetPort": port.target,
        "protocol": port.protocol,
    }
    return {**made, "appProtocol": port.app_protocol} if port.app_protocol else made


def app(project: Project, service: Service, image: str, known: Externals) -> Json:
    """The App of one service, running `image`."""
    document = _named("motet.dev/v1", "App", project, service.name)
    labels = {PROJECT: project.name, SERVICE: object_name(service.name)}
    document["metadata"]["labels"].update(labels)
    if service.labels:
        document["metadata"]["annotations"] = {placeholders.LABELS: placeholders.labels_text(dict(service.labels))}
    annotations = dict(service.annotations)
    if content := _content(project, service):
        annotations[CONTENT] = content
    annotations |= pod.marks(project, service)
    if "network" not in service.of_node:
        annotations[ANNOTATION] = attachments.text(_attachments(service, known, aliases=False), project.name)
    template: Json = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": pod.spec(project, service, image),
    }
    return {**document, "spec": {**rollout.of(project, service), "template": template}}


def _follow(apps: Mapping[str, Json], service: Service) -> None:
    """Make the pods of a service others than before when those of one that it follows are."""
    if not service.follows:
        return
    digest = hashlib.sha256()
    for other in sorted(service.follows):
        digest.update(json.dumps(apps[other]["spec"]["template"], sort_keys=True).encode())
    apps[service.name]["spec"]["template"]["metadata"]["annotations"][FOLLOWS] = digest.hexdigest()[:16]


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
