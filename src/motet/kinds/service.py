"""Services: stable names and addresses for pods.

Addresses and node ports are given out by the API layer, which knows what is taken: `clusterIP`, `clusterIPs`, `ipFamilies`,
`ipFamilyPolicy`, `healthCheckNodePort` and the ports' `nodePort` are only kept (on update) and checked for form here.
"""

from __future__ import annotations

from typing import Any

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid, required
from motet.base.ip import IPV4, IPV6, family_of_text
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column, plain_labels, text_at
from motet.kinds.kind import PROXY_VERBS, Json, Kind
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, number, objects, strings, text

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
DEFAULT_AFFINITY_SECONDS = 10800
MAX_AFFINITY_SECONDS = 86400
HEADLESS = "None"
# On a Service of type ClusterIP: its address leads to every port of its endpoints, and it needs to name none (Swarm's VIPs).
EVERY_PORT = "motet.dev/every-port"
_POLICIES = ("Cluster", "Local")
_FAMILIES = (IPV4, IPV6)


def leads_to_every_port(document: Json) -> bool:
    """Whether a Service asks for that by its annotation."""
    return text(document, "metadata", "annotations", EVERY_PORT) == "true"


def needs_cluster_ip(spec: Json) -> bool:
    """Every type but ExternalName has one, be it `None`."""
    return text(spec, "type") != "ExternalName"


def needs_node_ports(spec: Json) -> bool:
    """Whether the API layer has to find a node port for each port."""
    if text(spec, "type") == "NodePort":
        return True
    return text(spec, "type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False


def _has_node_ports(spec: Json) -> bool:
    return text(spec, "type") in ("NodePort", "LoadBalancer")


def _is_reachable_from_outside(spec: Json) -> bool:
    return _has_node_ports(spec) or (text(spec, "type") == "ClusterIP" and bool(strings(spec, "externalIPs")))


def default(document: Json) -> None:
    spec = made(document, "spec")
    fill_empty(spec, "sessionAffinity", "None")
    fill_empty(spec, "type", "ClusterIP")
    if text(spec, "sessionAffinity") == "None":
        spec.pop("sessionAffinityConfig", None)
    elif text(spec, "sessionAffinity") == "ClientIP":
        made(spec, "sessionAffinityConfig", "clientIP").setdefault("timeoutSeconds", DEFAULT_AFFINITY_SECONDS)
    for port in objects(spec, "ports"):
        fill_empty(port, "protocol", "TCP")
        fill_empty(port, "targetPort", port.get("port"))
    if _is_reachable_from_outside(spec):
        fill_empty(spec, "externalTrafficPolicy", "Cluster")
    if needs_cluster_ip(spec):
        fill_empty(spec, "internalTrafficPolicy", "Cluster")
    if text(spec, "type") == "LoadBalancer":
        fill_absent(spec, "allocateLoadBalancerNodePorts", True)


def prepare_create(document: Json) -> None:
    document["status"] = {"loadBalancer": {}}


def prepare_update(document: Json, old: Json) -> None:
    """Keep what was given out and the sender left out; drop what the new type has no use for."""
    spec, was = made(document, "spec"), mapping(old, "spec")
    _drop_unneeded(spec, was)
    if needs_cluster_ip(spec) and needs_cluster_ip(was):
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(key) and was.get(key):
                spec[key] = was[key]
    if _has_node_ports(spec) and _has_node_ports(was):
        given = {_port_key(port): port["nodePort"] for port in objects(was, "ports") if port.get("nodePort")}
        taken = {port["nodePort"] for port in objects(spec, "ports") if port.get("nodePort")}
        for port in objects(spec, "ports"):
            node_port = given.get(_port_key(port))
            if not port.get("nodePort") and node_port is not None and node_port not in taken:
                port["nodePort"] = node_port
    if needs_health_check(spec) and needs_health_check(was) and not spec.get("healthCheckNodePort"):
        fill_empty(spec, "healthCheckNodePort", was.get("healthCheckNodePort"))


def needs_health_check(spec: Json) -> bool:
    """Whether the API layer has to find a port where balancers ask a node for local endpoints."""
    return text(spec, "type") == "LoadBalancer" and text(spec, "externalTrafficPolicy") == "Local"


def _port_key(port: Json) -> tuple[str, Any]:
    return text(port, "protocol"), port.get("port")


def _drop_unneeded(spec: Json, was: Json) -> None:
    """A field that only the old type used goes, unless the sender changed it: then the sender is told."""

    def drop(key: str) -> None:
        if spec.get(key) == was.get(key):
            spec.pop(key, None)

    if needs_cluster_ip(was) and not needs_cluster_ip(spec):
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            drop(key)
    if _has_node_ports(was) and not _has_node_ports(spec):
        before = {port.get("nodePort") for port in objects(was, "ports")}
        for port in objects(spec, "ports"):
            if port.get("nodePort") in before:
                port.pop("nodePort", None)
    if needs_health_check(was) and not needs_health_check(spec):
        drop("healthCheckNodePort")
    if _is_reachable_from_outside(was) and not _is_reachable_from_outside(spec):
        drop("externalTrafficPolicy")
    if text(was, "type") == "LoadBalancer" and text(spec, "type") != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            drop(key)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec, every_port = mapping(document, "spec"), leads_to_every_port(document)
    if old is not None and spec == mapping(old, "spec") and every_port == leads_to_every_port(old):
        return []
    errors = [
        *checks.one_of("spec.type", text(spec, "type"), TYPES),
        *_ports(spec, none_needed=every_port),
        *(_every_port(spec) if every_port else ()),
        *checks.labels("spec.selector", mapping(spec, "selector")),
        *_affinity(spec),
        *_by_type(spec),
        *_addresses(spec),
        *_policies(spec),
    ]
    if old is not None:
        errors += _kept(spec, mapping(old, "spec"))
    return errors


def _every_port(spec: Json) -> list[FieldError]:
    if text(spec, "type") != "ClusterIP" or text(spec, "clusterIP") == HEADLESS:
        return [
            invalid(
                f"metadata.annotations[{EVERY_PORT}]",
                "true",
                "only for services of type ClusterIP that have an address",
            )
        ]
    if text(spec, "sessionAffinity") != "None":
        return [invalid(f"metadata.annotations[{EVERY_PORT}]", "true", "not together with session affinity")]
    return []


def _ports(spec: Json, *, none_needed: bool) -> list[FieldError]:
    ports = objects(spec, "ports")
    headless = text(spec, "clusterIP") == HEADLESS
    if not ports and not headless and not none_needed and text(spec, "type") != "ExternalName":
        return [required("spec.ports")]
    errors = []
    for index, port in enumerate(ports):
        errors += _port(port, f"spec.ports[{index}]", spec, len(ports) > 1)
    for keys, shown in ((("name",), ".name"), (("protocol", "port"), ""), (("protocol", "nodePort"), ".nodePort")):
        seen: set[tuple[Any, ...]] = set()
        for index, port in enumerate(ports):
            value = tuple(port.get(key) for key in keys)
            if not value[-1]:
                continue
            if value in seen:
                shown_value = port.get("name") if keys == ("name",) else {key: port.get(key) for key in keys}
                errors.append(duplicate(f"spec.ports[{index}]{shown}", shown_value))
            seen.add(value)
    return errors


def _port(port: Json, path: str, spec: Json, several: bool) -> list[FieldError]:
    kind = text(spec, "type")
    errors = checks.named(f"{path}.name", text(port, "name"), names.label_error, needed=several)
    errors += checks.port(f"{path}.port", port.get("port", 0))
    errors += checks.one_of(f"{path}.protocol", text(port, "protocol"), ("SCTP", "TCP", "UDP"))
    errors += checks.port_or_name(f"{path}.targetPort", port.get("targetPort"))
    if text(port, "appProtocol"):
        errors += checks.named(f"{path}.appProtocol", text(port, "appProtocol"), names.qualified_name_error)
    if port.get("nodePort"):
        if kind in ("ClusterIP", "ExternalName"):
            errors.append(forbidden(f"{path}.nodePort", f"may not be used when `type` is '{kind}'"))
        else:
            errors += checks.port(f"{path}.nodePort", port["nodePort"])
    if kind == "LoadBalancer" and port.get("port") == 10250:
        detail = "may not expose port 10250 externally since it is used by kubelet"
        errors.append(invalid(f"{path}.port", 10250, detail))
    return errors


def _affinity(spec: Json) -> list[FieldError]:
    affinity = text(spec, "sessionAffinity")
    errors = checks.one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    if affinity == "ClientIP":
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        seconds = mapping(spec, "sessionAffinityConfig", "clientIP").get("timeoutSeconds")
        if not isinstance(seconds, int):
            errors.append(required(path))
        elif not 0 < seconds <= MAX_AFFINITY_SECONDS:
            detail = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
            errors.append(invalid(path, seconds, detail))
    return errors


def _by_type(spec: Json) -> list[FieldError]:
    errors = []
    match text(spec, "type"):
        case "ExternalName":
            errors += checks.named(
                "spec.externalName", text(spec, "externalName").removesuffix("."), names.subdomain_error
            )
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if spec.get(key):
                    errors.append(forbidden(f"spec.{key}", "may not be set for ExternalName services"))
        case "NodePort" | "LoadBalancer" as kind:
            if text(spec, "clusterIP") == HEADLESS:
                detail = f"may not be set to 'None' for {kind} services"
                errors.append(invalid("spec.clusterIPs[0]", HEADLESS, detail))
    if text(spec, "type") != "LoadBalancer":
        for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(key) is not None:
                errors.append(forbidden(f"spec.{key}", "may only be used when `type` is 'LoadBalancer'"))
    return errors + _source_ranges(spec)


def _source_ranges(spec: Json) -> list[FieldError]:
    # Upstream's path has a capital letter here.
    path = "spec.LoadBalancerSourceRanges"
    ranges = strings(spec, "loadBalancerSourceRanges")
    errors = []
    if ranges and text(spec, "type") != "LoadBalancer":
        errors.append(forbidden(path, "may only be used when `type` is 'LoadBalancer'"))
    for index, value in enumerate(ranges):
        errors += checks.cidr(f"{path}[{index}]", value.strip())
    return errors


def _addresses(spec: Json) -> list[FieldError]:
    errors = _cluster_addresses(spec)
    families = strings(spec, "ipFamilies")
    for index, family in enumerate(families):
        errors += checks.one_of(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    errors += checks.one_of(
        "spec.ipFamilyPolicy",
        text(spec, "ipFamilyPolicy"),
        ("PreferDualStack", "RequireDualStack", "SingleStack"),
        needed=False,
    )
    for index, address in enumerate(strings(spec, "externalIPs")):
        errors += checks.reachable_ip(f"spec.externalIPs[{index}]", address)
    if text(spec, "loadBalancerIP"):
        errors += checks.ip("spec.loadBalancerIP", text(spec, "loadBalancerIP"))
    return errors


def _cluster_addresses(spec: Json) -> list[FieldError]:
    first, several, families = text(spec, "clusterIP"), strings(spec, "clusterIPs"), strings(spec, "ipFamilies")
    errors = []
    if first not in ("", HEADLESS):
        errors += checks.ip("spec.clusterIPs[0]", first)
    if several and several[0] != first:
        errors.append(invalid("spec.clusterIPs", several, "first value must match `clusterIP`"))
    if len(several) > 2:
        errors.append(invalid("spec.clusterIPs", several, "may only hold up to 2 values"))
    for index, address in enumerate(several):
        if address == HEADLESS and len(several) > 1:
            errors.append(invalid(f"spec.clusterIPs[{index}]", address, "'None' must be the first and only value"))
        elif index and address != HEADLESS:
            errors += checks.ip(f"spec.clusterIPs[{index}]", address)
    if errors or first == HEADLESS:
        return errors
    own = [family_of_text(address) for address in several]
    if len(set(own)) != len(own):
        return [invalid("spec.clusterIPs", several, "may specify no more than one IP for each IP family")]
    for index, (family, named) in enumerate(zip(own, families, strict=False)):
        if family != named and named in _FAMILIES:
            detail = f"expected an {named} value as indicated by `ipFamilies[{index}]`"
            errors.append(invalid(f"spec.clusterIPs[{index}]", several[index], detail))
    return errors


def _policies(spec: Json) -> list[FieldError]:
    errors = []
    outside = text(spec, "externalTrafficPolicy")
    if outside and not _is_reachable_from_outside(spec):
        detail = "may only be set for externally-accessible services"
        errors.append(invalid("spec.externalTrafficPolicy", outside, detail))
    else:
        errors += checks.one_of("spec.externalTrafficPolicy", outside, _POLICIES, needed=False)
    inside = text(spec, "internalTrafficPolicy")
    if needs_cluster_ip(spec):
        errors += checks.one_of("spec.internalTrafficPolicy", inside, _POLICIES)
    if spec.get("healthCheckNodePort") and not needs_health_check(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", number(spec, "healthCheckNodePort"), detail))
    errors += checks.one_of(
        "spec.trafficDistribution",
        text(spec, "trafficDistribution"),
        ("PreferClose", "PreferSameNode", "PreferSameZone"),
        needed=False,
    )
    return errors


def _kept(spec: Json, was: Json) -> list[FieldError]:
    """What is first stays so. A second address or family may come; it goes with the policy that asks for one only."""
    if not needs_cluster_ip(spec) or not needs_cluster_ip(was):
        return []
    before, now = text(was, "clusterIP"), text(spec, "clusterIP")
    shown = strings(spec, "clusterIPs") or [now]
    if before and now != before:
        return [invalid("spec.clusterIPs[0]", shown, "may not change once set")]
    errors = []
    if before != HEADLESS:
        errors += _changed("clusterIPs", strings(was, "clusterIPs"), shown)
        errors += _changed("ipFamilies", strings(was, "ipFamilies"), strings(spec, "ipFamilies"))
    return errors


def _changed(key: str, before: list[str], now: list[str]) -> list[FieldError]:
    return [
        invalid(f"spec.{key}[{index}]", now, "may not change once set")
        for index, (old, new) in enumerate(zip(before, now, strict=False))
        if old != new
    ]


def _external(document: Json) -> str:
    spec = mapping(document, "spec")
    own = strings(spec, "externalIPs")
    match text(spec, "type"):
        case "ClusterIP" | "NodePort":
            return ",".join(own) or NONE
        case "LoadBalancer":
            ingress = objects(document, "status", "loadBalancer", "ingress")
            balanced = sorted({text(item, "ip") or text(item, "hostname") for item in ingress} - {""})
            return ",".join([*balanced, *own]) or "<pending>"
        case "ExternalName":
            return text(spec, "externalName")
    return "<unknown>"


def _shown_ports(document: Json) -> str:
    pieces = []
    for port in objects(document, "spec", "ports"):
        outside = f":{port['nodePort']}" if port.get("nodePort") else ""
        pieces.append(f"{port.get('port')}{outside}/{text(port, 'protocol')}")
    return ",".join(pieces) or NONE


KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    singular="service",
    short_names=("svc",),
    categories=("all",),
    schema="io.k8s.api.core.v1.Service",
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    name_error=names.label_1035_error,
    status=True,
    subresources={"proxy": PROXY_VERBS},
    columns=(
        NAME,
        column("Type", text_at("spec", "type"), about="How the service is reached."),
        column("Cluster-IP", text_at("spec", "clusterIP", otherwise=NONE), about="Its address inside the cluster."),
        column("External-IP", _external, about="Its addresses outside."),
        column("Port(s)", _shown_ports, about="Ports, with their node ports."),
        AGE,
        column(
            "Selector",
            lambda document: plain_labels(mapping(document, "spec").get("selector")),
            wide=True,
            about="Labels of the pods behind it.",
        ),
    ),
    create_on_update=True,
)
