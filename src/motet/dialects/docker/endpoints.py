"""How a service is reached: its EndpointSpec as Services of the kernel. Pure.

A name is a Service, with the networks' aliases: in `vip` mode it has one address, which leads to every port of the tasks; in
`dnsrr` mode it is headless, and the name leads to each task. Ports published in the routing mesh are a second Service that every
node answers for, and ports whose number is left to the cluster a third one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from motet.dialects.docker.containerspec import aliases
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.servicespec import ENDPOINT
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import service as service_kind
from motet.kinds import tasks
from motet.kinds.attachments import ANNOTATION

Json = dict[str, Any]

PUBLISHED, PUBLISHED_ANY = "published", "published-any"
_PROTOCOLS = ("tcp", "udp", "sctp")


def ports_of(endpoint: Fields) -> list[Json]:
    """Every port, checked: `name`, `protocol`, `target`, `published`, `host`. Raises DockerError."""
    mode = endpoint.choice("Mode", ("vip", "dnsrr"), "vip")
    found: list[Json] = []
    for port in endpoint.each("Ports"):
        host = port.choice("PublishMode", ("ingress", "host"), "ingress") == "host"
        each: Json = {
            "name": port.text("Name"),
            "protocol": port.choice("Protocol", _PROTOCOLS, "tcp"),
            "target": port.natural("TargetPort"),
            "published": port.natural("PublishedPort"),
            "host": host,
        }
        port.finish()
        if not 0 < each["target"] < 65536 or each["published"] > 65535:
            raise bad(f"{port.path}: ports are numbers from 1 to 65535")
        if mode == "dnsrr" and not host:
            raise DockerError(
                400,
                "rpc error: code = InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with "
                "dnsrr mode",
            )
        twin = (each["published"], each["protocol"], each["host"])
        if each["published"] and any((one["published"], one["protocol"], one["host"]) == twin for one in found):
            raise bad("rpc error: code = InvalidArgument desc = EndpointSpec: duplicate published ports provided")
        found.append(each)
    endpoint.finish()
    return found


def services(
    app: Mapping[str, Any], task: Mapping[str, Any], ports: Sequence[Json], around: Surroundings
) -> list[Json]:
    """The Services of an App, without an owner."""
    meta = app["metadata"]
    name = meta["name"]
    own = meta["annotations"].get("docker.motet.dev/name", name).lower()
    virtual = has_address(app)
    plain = _service(app, name, {} if virtual else {"clusterIP": service_kind.HEADLESS})
    annotations = {service_kind.EVERY_PORT: "true"} if virtual else {}
    if named := aliases(task, around, (own,) if own != name else ()):
        annotations[ANNOTATION] = named
    if annotations:
        plain["metadata"]["annotations"] = annotations
    mesh = [port for port in ports if not port["host"]]
    known = _known(ports)
    if known:
        plain["spec"]["ports"] = known
    found = [plain]
    fixed = [port for port in mesh if port["published"]]
    if fixed:
        spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": list(_mesh(fixed))}
        found.append(_service(app, f"{name}-{PUBLISHED}", spec))
    if chosen := [port for port in mesh if not port["published"]]:
        found.append(_service(app, f"{name}-{PUBLISHED_ANY}", {"type": "NodePort", "ports": list(_mesh(chosen))}))
    return found


def has_address(app: Mapping[str, Any]) -> bool:
    """Whether a service's name leads to one address. On the host's network every port of it would be every port of a node."""
    endpoint = msgspec.json.decode(app["metadata"]["annotations"].get(ENDPOINT) or "{}", type=dict[str, Any])
    return endpoint.get("Mode", "vip") != "dnsrr" and not app["spec"]["template"]["spec"].get("hostNetwork")


def virtual_addresses(task: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> list[Json]:
    """`Endpoint.VirtualIPs`: the one address that a service has, on each of its networks."""
    found = [
        str(service["spec"]["clusterIP"])
        for service in services
        if ((service["metadata"].get("annotations") or {}).get(service_kind.EVERY_PORT)) == "true"
    ]
    networks = [each.get("Target") or "" for each in task.get("Networks") or ()]
    return [{"NetworkID": network, "Addr": f"{address}/32"} for network in networks for address in found]


def names(app: str) -> tuple[str, ...]:
    """Of all Services that an App may have."""
    return (app, f"{app}-{PUBLISHED}", f"{app}-{PUBLISHED_ANY}")


def _service(app: Mapping[str, Any], name: str, spec: Json) -> Json:
    meta = app["metadata"]
    return {
        "apiVersion": "v1",
        "kind": service_kind.KIND.kind,
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": {tasks.LABEL: meta["name"]}},
        "spec": {"selector": {tasks.LABEL: meta["name"]}, **spec},
    }


def _known(ports: Sequence[Json]) -> list[Json]:
    numbers = dict.fromkeys((port["target"], port["protocol"]) for port in ports)
    return [
        {"name": f"{protocol}-{number}", "port": number, "protocol": protocol.upper()} for number, protocol in numbers
    ]


def _mesh(ports: Sequence[Json]) -> Iterator[Json]:
    for index, port in enumerate(ports):
        number = port["published"] or port["target"]
        yield {
            "name": f"{port['protocol']}-{number}" if port["published"] else f"{port['protocol']}-{number}-{index}",
            "port": number,
            "targetPort": port["target"],
            "protocol": port["protocol"].upper(),
        }


def shown_ports(ports: Sequence[Json], assigned: Mapping[tuple[str, int], int]) -> list[Json]:
    """`Endpoint.Ports`: with the numbers that were given out, by (protocol, target)."""
    return [
        {
            **({"Name": port["name"]} if port["name"] else {}),
            "Protocol": port["protocol"],
            "TargetPort": port["target"],
            "PublishedPort": port["published"] or assigned.get((port["protocol"], port["target"]), 0),
            "PublishMode": "host" if port["host"] else "ingress",
        }
        for port in ports
    ]
