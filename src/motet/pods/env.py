"""A container's environment variables, from every source, in upstream's order of precedence.

Service variables first, then `envFrom` (later sources win), then `env` in order, where `$(NAME)` refers to what came before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from motet.base import quantity
from motet.pods import resources
from motet.pods.security import ConfigError
from motet.pods.sources import ServiceView, Sources
from motet.pods.spec import ContainerSpec, EnvFrom, EnvVar, FieldRef, KeyRef, Pod, ResourceFieldRef

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
# The kernel takes no more of arguments and variables together, in bytes and whatever the limits are (execve(2)).
_MOST = 6 * 2**20
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")


@dataclass(frozen=True, slots=True)
class Place:
    """Facts of the node that a pod may ask for. CPU in millicores, memory and storage in bytes: the node's allocatable."""

    node_name: str
    host_ips: tuple[str, ...]
    cpu: int
    memory: int
    ephemeral_storage: int = 0


def expand(text: str, variables: Mapping[str, str], most: int = _MOST) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign; unknown names stay as they are.

    Raises ConfigError as soon as there are more than `most` characters.
    """
    pieces: list[str] = []
    length = at = 0
    # Behind the last bracket there are no names, and none is looked for from each `$(` there to the end.
    end = text.rfind(")") + 1
    for match in _REFERENCE.finditer(text, 0, end):
        value = "$" if match[1] == "$" else variables.get(match[2], match[0])
        pieces += (text[at : match.start()], value)
        length += match.start() - at + len(value)
        at = match.end()
        if length > most:
            raise _too_long()
    pieces += (text[at:end], text[end:].replace("$$", "$"))
    if length + len(pieces[-2]) + len(pieces[-1]) > most:
        raise _too_long()
    return "".join(pieces)


def expand_all(words: Iterable[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """The same of all words of a command. Raises ConfigError when they are more together than any process may have."""
    found, room = [], _MOST
    for word in words:
        found.append(expand(word, variables, room))
        room -= len(found[-1])
    return tuple(found)


def _too_long() -> ConfigError:
    return ConfigError("with what its references stand for filled in it is longer than the kernel takes")


async def of_container(
    pod: Pod, container: ContainerSpec, sources: Sources, place: Place, pod_ips: Sequence[str]
) -> dict[str, str]:
    """All variables of `container`. Raises ConfigError naming a missing reference, ApiError when the API is away."""
    variables = await _services(pod, sources)
    room = _MOST
    for source in container.env_from or ():
        found = await _from(pod, source, sources)
        room -= sum(map(len, found.values()))
        if room < 0:
            raise _too_long()
        variables.update(found)
    for variable in container.env or ():
        value = await _value(pod, container, variable, sources, place, pod_ips, variables, room)
        if value is not None:
            room -= len(value)
            if room < 0:
                raise _too_long()
            variables[variable.name] = value
    return variables


async def _value(
    pod: Pod,
    container: ContainerSpec,
    variable: EnvVar,
    sources: Sources,
    place: Place,
    pod_ips: Sequence[str],
    before: Mapping[str, str],
    most: int,
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value or "", before, most)
    if source.field_ref is not None:
        return field(pod, source.field_ref, place, pod_ips)
    if source.resource_field_ref is not None:
        return resource_field(pod, container, source.resource_field_ref, place)
    if source.config_map_key_ref is not None:
        return await _key(pod, source.config_map_key_ref, "configmap", "ConfigMap", sources)
    if source.secret_key_ref is not None:
        return await _key(pod, source.secret_key_ref, "secret", "Secret", sources)
    raise ConfigError(f"env {variable.name}: valueFrom names no source that this node knows")


async def _key(pod: Pod, ref: KeyRef, resource: str, kind: str, sources: Sources) -> str | None:
    namespace = pod.metadata.namespace
    read = sources.config_map if kind == "ConfigMap" else sources.secret
    data = await read(namespace, ref.name)
    if data is None:
        if ref.optional:
            return None
        raise ConfigError(f'{resource} "{ref.name}" not found')
    if ref.key not in data:
        if ref.optional:
            return None
        raise ConfigError(f"couldn't find key {ref.key} in {kind} {namespace}/{ref.name}")
    return data[ref.key].decode(errors="replace")


async def _from(pod: Pod, source: EnvFrom, sources: Sources) -> dict[str, str]:
    for ref, read, resource in (
        (source.config_map_ref, sources.config_map, "configmap"),
        (source.secret_ref, sources.secret, "secret"),
    ):
        if ref is None:
            continue
        data = await read(pod.metadata.namespace, ref.name)
        if data is None:
            if ref.optional:
                return {}
            raise ConfigError(f'{resource} "{ref.name}" not found')
        named = {source.prefix + key: value.decode(errors="replace") for key, value in data.items()}
        return {key: value for key, value in named.items() if _ENV_NAME.fullmatch(key)}
    return {}


async def _services(pod: Pod, sources: Sources) -> dict[str, str]:
    """`FOO_SERVICE_HOST` and the older Docker-link forms, for services of the namespace and always the API server's."""
    linked = pod.spec.enable_service_links is not False
    # What the node runs of its own accord does not wait for an API that it may be there to serve.
    wait = not pod.static
    found = {service.metadata.name: service for service in await sources.services("default", wait=wait)
             if service.metadata.name == "kubernetes"}  # fmt: skip
    if linked:
        own = await sources.services(pod.metadata.namespace, wait=wait)
        found.update((service.metadata.name, service) for service in own)
    variables: dict[str, str] = {}
    for service in sorted(found.values(), key=lambda service: service.metadata.name):
        if service.spec.cluster_ip not in ("", "None") and service.spec.ports:
            variables.update(service_variables(service))
    return variables


def service_variables(service: ServiceView) -> dict[str, str]:
    """The variables that stand for one service with a cluster IP."""
    prefix = service.metadata.name.upper().replace("-", "_")
    ip, ports = service.spec.cluster_ip, service.spec.ports or ()
    shown = f"[{ip}]" if ":" in ip else ip
    variables = {f"{prefix}_SERVICE_HOST": ip, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for index, port in enumerate(ports):
        url = f"{port.protocol.lower()}://{shown}:{port.port}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{port.port}_{port.protocol.upper()}"
        variables.update(
            {stem: url, f"{stem}_PROTO": port.protocol.lower(), f"{stem}_PORT": str(port.port), f"{stem}_ADDR": ip}
        )
    return variables


def field(pod: Pod, ref: FieldRef, place: Place, pod_ips: Sequence[str]) -> str:
    """The downward API's pod fields. Raises ConfigError for a path it does not have."""
    meta = pod.metadata
    host_ip = place.host_ips[0] if place.host_ips else ""
    simple = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "metadata.labels": _listing(meta.labels),
        "metadata.annotations": _listing(meta.annotations),
        "spec.nodeName": place.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": host_ip,
        "status.hostIPs": ",".join(place.host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if ref.field_path in simple:
        return simple[ref.field_path]
    if match := _SUBSCRIPT.fullmatch(ref.field_path):
        return ((meta.labels if match[1] == "labels" else meta.annotations) or {}).get(match[2], "")
    raise ConfigError(f"unsupported fieldPath: {ref.field_path}")


def _listing(values: Mapping[str, str] | None) -> str:
    quoted = (
        (key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for key, value in (values or {}).items()
    )
    return "\n".join(f'{key}="{value}"' for key, value in sorted(quoted))


def resource_field(pod: Pod, container: ContainerSpec, ref: ResourceFieldRef, place: Place) -> str:
    """A container's request or limit in units of the divisor, rounded up; a missing limit is what the node can give."""
    if ref.container_name:
        named = pod.container(ref.container_name)
        if named is None:
            raise ConfigError(f"container {ref.container_name} not found")
        container = named
    side, _, name = ref.resource.partition(".")
    allocatable = {"cpu": place.cpu, "memory": place.memory, "ephemeral-storage": place.ephemeral_storage}
    if side not in ("limits", "requests") or name not in allocatable:
        raise ConfigError(f"unsupported container resource : {ref.resource}")
    if side == "limits":
        amount = resources.limit(container.resources, name) or allocatable[name]
    else:
        amount = resources.request(container.resources, name)
    divisor = quantity.parse(ref.divisor) if ref.divisor not in (None, "", "0", 0) else quantity.parse("1")
    exact = quantity.parse(amount) / (1000 if name == "cpu" else 1)
    return str(-(-exact // divisor))
